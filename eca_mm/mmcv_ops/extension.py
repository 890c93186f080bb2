"""What ``mmcv._ext`` is where mmcv was not compiled: every name exists, the ones imported here also work.

mmcv asks for all its operators by name while it is imported, but calls only those that a network needs.
"""

# ruff: noqa: F401  (mmcv looks the operators up here)
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torchvision

from eca_mm.errors import UserError
from eca_mm.mmcv_ops import COMPILE
from eca_mm.mmcv_ops.attention import ms_deform_attn_backward, ms_deform_attn_forward
from eca_mm.mmcv_ops.carafe import carafe_backward, carafe_forward, carafe_naive_backward, carafe_naive_forward
from eca_mm.mmcv_ops.deform import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from eca_mm.mmcv_ops.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from eca_mm.mmcv_ops.masked_conv import masked_col2im_forward, masked_im2col_forward
from eca_mm.mmcv_ops.nms import nms, nms_match, softnms
from eca_mm.mmcv_ops.overlaps import bbox_overlaps
from eca_mm.mmcv_ops.roi_align import roi_align_backward, roi_align_forward
from eca_mm.mmcv_ops.roi_pool import roi_pool_backward, roi_pool_forward

IS_STAND_IN = True


def get_compiler_version() -> str:
    """What environment reports print as 'MMCV Compiler'."""
    return f'none, operators of torchvision {torchvision.__version__} and PyTorch {torch.__version__} (eca_mm.mmcv_ops)'


def get_compiling_cuda_version() -> str:
    """What environment reports print as 'MMCV CUDA Compiler'."""
    return f'none, PyTorch is built for CUDA {torch.version.cuda}' if torch.version.cuda else 'not available'


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """An operator that this package does not have: it exists, and raises when it is called."""
    if name.startswith(('__', 'pytest')):  # asked for by Python and by pytest
        raise AttributeError(name)

    def missing(*_: Any, **__: Any) -> NoReturn:
        raise UserError(
            f"mmcv's operator {name!r} exists only in a compiled mmcv, and eca_mm has none in its place; to compile mmcv: "
            f'{COMPILE}.'
        )

    missing.__name__ = name
    return missing
