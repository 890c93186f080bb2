"""The error that these operators raise on purpose."""


class OperatorError(RuntimeError):
    """An operator that is missing, or an argument that compiled mmcv refuses too; its text is one sentence for the user.

    Compiled mmcv raises a RuntimeError there as well.
    """
