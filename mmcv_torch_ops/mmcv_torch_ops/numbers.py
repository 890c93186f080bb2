"""The precision in which mmcv's C++ functions compute."""

from __future__ import annotations

from ctypes import c_float
from typing import Any

import torch
from torch import Tensor

from mmcv_torch_ops.errors import OperatorError


def single(value: float) -> float:
    """Return the nearest float32: mmcv's functions take `float`, torchvision's `double`, and 0.7 is not the same in both."""
    return c_float(value).value


def require_float32(name: str, **tensors: Tensor) -> None:
    """Refuse what the compiled operator refuses.

    Raises:
        OperatorError: If a tensor's elements are not float32.
    """
    for argument, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            raise OperatorError(
                f"mmcv's {name} takes float32, but {argument} are {tensor.dtype}; convert them with .float()."
            )


def widen(*tensors: Tensor | None) -> list[Any]:
    """Convert half precision to float32 on CPUs, where not every torch multiplies and samples it."""
    low = (torch.float16, torch.bfloat16)
    return [t.float() if t is not None and t.device.type == 'cpu' and t.dtype in low else t for t in tensors]
