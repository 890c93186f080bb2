"""What this package raises on purpose. Its text is one sentence for the user; any other exception is a bug."""


class UserError(ValueError):
    """A mistake that the user can mend: the sentence names the thing, its value and what to do.

    Tools print it as ``error: ...`` and exit with 1; every other exception keeps its traceback.
    """


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is needed and is not there."""


class ExistingFileError(UserError, FileExistsError):
    """A file that is there already and may not be written over."""


class WriteError(UserError, OSError):
    """A file that cannot be written."""


class Interrupted(Exception):
    """A run was stopped by Ctrl-C or another signal; the message says how far it came and how to go on.

    Attributes:
        code: The exit code, 128 and the signal's number.
    """

    def __init__(self, message: str, code: int = 130) -> None:
        super().__init__(message)
        self.code = code
