"""mmcv's compiled operators, written in PyTorch and torchvision.

mmcv reaches its operators through one module, ``mmcv._ext``, which is missing where mmcv was installed without a
compiler. This distribution installs a file ``mmcv/_ext.py``, which takes the operators from this package. Python prefers
a compiled ``mmcv/_ext.*.so`` in the same folder, so a compiled mmcv is always used.
"""

from mmcv_torch_ops.errors import OperatorError

__all__ = ['OperatorError', 'in_use']


def in_use() -> str:
    """Return which operators mmcv calls: 'compiled' or 'mmcv_torch_ops'.

    Raises:
        ImportError: If mmcv is not installed, or its compiled module does not fit the installed torch.
    """
    from mmcv import _ext

    return 'mmcv_torch_ops' if hasattr(_ext, 'OPERATORS') else 'compiled'
