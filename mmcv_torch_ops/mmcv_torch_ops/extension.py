"""The contents of ``mmcv._ext``: mmcv's operators by name.

While mmcv is imported, it asks for all of its operators; a network calls a few of them. So every name exists here, and
a name without an operator behind it raises when it is called.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any, Callable, NoReturn

import torch
import torchvision

from mmcv_torch_ops.attention import ms_deform_attn_backward, ms_deform_attn_forward
from mmcv_torch_ops.carafe import carafe_backward, carafe_forward, carafe_naive_backward, carafe_naive_forward
from mmcv_torch_ops.deform import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from mmcv_torch_ops.deform_roi_pool import deform_roi_pool_backward, deform_roi_pool_forward
from mmcv_torch_ops.errors import OperatorError
from mmcv_torch_ops.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from mmcv_torch_ops.masked_conv import masked_col2im_forward, masked_im2col_forward
from mmcv_torch_ops.nms import nms, nms_match, softnms
from mmcv_torch_ops.overlaps import bbox_overlaps
from mmcv_torch_ops.roi_align import roi_align_backward, roi_align_forward
from mmcv_torch_ops.roi_pool import roi_pool_backward, roi_pool_forward

__all__ = [
    'bbox_overlaps',
    'carafe_backward',
    'carafe_forward',
    'carafe_naive_backward',
    'carafe_naive_forward',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'deform_roi_pool_backward',
    'deform_roi_pool_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'masked_col2im_forward',
    'masked_im2col_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'nms_match',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
    'softnms',
]


def get_compiler_version() -> str:
    """Return what environment reports print as 'MMCV Compiler'."""
    return f'none, operators of mmcv_torch_ops (torchvision {torchvision.__version__}, PyTorch {torch.__version__})'


def get_compiling_cuda_version() -> str:
    """Return what environment reports print as 'MMCV CUDA Compiler'."""
    return f'none, PyTorch is built for CUDA {torch.version.cuda}' if torch.version.cuda else 'not available'


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """Return a function that raises, for an operator that is missing here."""
    if name.startswith(('__', 'pytest')):  # asked for by Python and by pytest
        raise AttributeError(name)

    def missing(*_: Any, **__: Any) -> NoReturn:
        raise OperatorError(
            f"mmcv's operator {name!r} is missing in mmcv_torch_ops; it needs a compiled mmcv: install a wheel that was "
            f'built for torch {torch.__version__}, or compile it by pip install torch ninja psutil "setuptools<81" and '
            f'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --no-deps --force-reinstall {_mmcv()}.'
        )

    missing.__name__ = name
    return missing


def _mmcv() -> str:
    """Return the requirement that names the installed mmcv, such as 'onedl-mmcv==2.3.6'."""
    for name, source in {'onedl-mmcv': 'onedl-mmcv', 'mmcv': 'mmcv', 'mmcv-lite': 'mmcv'}.items():
        try:
            return f'{source}=={importlib.metadata.version(name)}'
        except importlib.metadata.PackageNotFoundError:
            continue
    return 'mmcv'
