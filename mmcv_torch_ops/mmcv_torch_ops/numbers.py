"""How mmcv's C++ functions receive numbers."""

from __future__ import annotations

from ctypes import c_float

from torch import Tensor, float32

from mmcv_torch_ops.errors import OperatorError


def single(value: float) -> float:
    """The nearest float32: mmcv's functions take `float`, torchvision's `double`, and 0.7 is not the same in both."""
    return c_float(value).value


def require_float32(name: str, **tensors: Tensor) -> None:
    """Refuses what the compiled operator refuses.

    Raises:
        OperatorError: If a tensor's elements are not float32.
    """
    for argument, tensor in tensors.items():
        if tensor.dtype != float32:
            raise OperatorError(
                f"mmcv's {name} takes float32, but {argument} are {tensor.dtype}; convert them with .float()."
            )
