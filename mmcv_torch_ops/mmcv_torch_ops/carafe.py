"""CARAFE, content-aware upsampling (https://arxiv.org/abs/1905.02188).

Source: mmcv 2.3.6, ``csrc/common/cuda/carafe_naive_cuda_kernel.cuh``; mmcv has it on GPUs only. Every output pixel is a
weighted sum of the k x k features around its place in the smaller map, with weights of its own:

    out[b, c, s y + u, s x + v] = sum over i, j of mask[b, (g k + i) k + j, s y + u, s x + v] * in[b, c, y + i - r, x + j - r]

with r = (k - 1) / 2, g the group of channel c and zeros outside. Half precision is summed in float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Writes to `output` (B, C, s H, s W) the upsampled `features` (B, C, H, W).

    Args:
        masks: (B, G k k, s H, s W).
    """
    b, c, h, w = features.shape
    taps = _taps(_pad(features.float() if features.dtype == torch.half else features, kernel_size), kernel_size, h, w)
    total = torch.zeros((), device=features.device)
    for tap, mask in zip(taps, _masks(masks, group_size, scale_factor)):
        total = total + tap.reshape(b, group_size, c // group_size, h, 1, w, 1) * mask
    output.copy_(total.reshape(output.shape))


def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Writes the gradients of the features and of the masks."""
    b, c, h, w = features.shape
    wide = torch.float32 if features.dtype == torch.half else features.dtype
    split = (b, group_size, c // group_size, h)
    gradient = top_grad.to(wide).reshape(*split, scale_factor, w, scale_factor)
    padded = _pad(features.to(wide), kernel_size)
    of_padded = torch.zeros_like(padded)
    taps, places = _taps(padded, kernel_size, h, w), _taps(of_padded, kernel_size, h, w)
    targets = _masks(mask_grad, group_size, scale_factor)
    for tap, place, mask, target in zip(taps, places, _masks(masks, group_size, scale_factor), targets):
        place += (gradient * mask).sum(dim=(4, 6)).reshape(b, c, h, w)
        target.copy_((gradient * tap.reshape(*split, 1, w, 1)).sum(dim=2, keepdim=True))
    r = kernel_size // 2
    bottom_grad.copy_(of_padded[:, :, r : r + h, r : r + w])


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """:func:`carafe_naive_forward`. The r... are buffers; mmcv hands `rfeatures` to :func:`carafe_backward`."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """:func:`carafe_naive_backward`."""
    carafe_naive_backward(top_grad, rfeatures, masks, bottom_grad, mask_grad, kernel_size, group_size, scale_factor)


def _pad(features: Tensor, kernel_size: int) -> Tensor:
    return F.pad(features, (kernel_size // 2,) * 4)


def _taps(padded: Tensor, kernel_size: int, height: int, width: int) -> Iterator[Tensor]:
    """Views (B, C, H, W) of the padded features, one for each position (i, j) of the kernel."""
    for i in range(kernel_size):
        for j in range(kernel_size):
            yield padded[:, :, i : i + height, j : j + width]


def _masks(masks: Tensor, group_size: int, scale: int) -> Iterator[Tensor]:
    """Views (B, G, 1, H, s, W, s) of the masks, in the order of :func:`_taps`."""
    b, channels, height, width = masks.shape
    split = masks.view(b, group_size, channels // group_size, 1, height // scale, scale, width // scale, scale)
    return iter(split.unbind(dim=2))
