"""The two halves of mmcv's masked convolution (guided anchoring), which is computed at some positions only.

Source: mmcv 2.3.6, ``csrc/common/cuda/masked_conv2d_cuda_kernel.cuh``; mmcv has it on GPUs only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Writes the patches of `im` (1, C, H, W) at M positions to `col` (C kernel_h kernel_w, M)."""
    padded = F.pad(im[0], (pad_w, kernel_w, pad_h, kernel_h))
    rows = mask_h_idx + torch.arange(kernel_h, device=im.device)[:, None]
    columns = mask_w_idx + torch.arange(kernel_w, device=im.device)[:, None]
    col.copy_(padded[:, rows[:, None], columns[None]].reshape(col.shape))


def masked_col2im_forward(
    col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, im: Tensor, height: int, width: int, channels: int
) -> None:
    """Writes `col` (C, M) to the M positions of `im` (1, C, height, width)."""
    im[0, :, mask_h_idx, mask_w_idx] = col
