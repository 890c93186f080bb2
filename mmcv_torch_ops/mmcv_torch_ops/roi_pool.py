"""RoIPool (https://arxiv.org/abs/1504.08083): the maximum of each bin of whole pixels.

Source: mmcv 2.3.6, ``csrc/common/cuda/roi_pool_cuda_kernel.cuh``; mmcv has it on GPUs only. torchvision's roi_pool rounds
the regions first and so gives another result.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcv_torch_ops.numbers import single


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Writes the bins of the regions `rois` (N, 5; image, x1, y1, x2, y2) of `input` (B, C, H, W) to `output`.

    A region reaches from x1 s to (x2 + 1) s; one without area leaves its rows as they are. A bin without pixels is 0.

    Args:
        output: (N, C, pooled_height, pooled_width).
        argmax: As `output`, the place of the maximum in the map laid out row by row, -1 for none.
    """
    height, width = input.shape[2:]
    scale = single(spatial_scale)
    start, end = rois[:, 1:3] * scale, (rois[:, 3:] + 1) * scale
    size = end - start
    x_from, x_to = _bins(start[:, 0], size[:, 0], pooled_width, width)
    y_from, y_to = _bins(start[:, 1], size[:, 1], pooled_height, height)
    for region, image, has_area in zip(range(len(rois)), rois[:, 0].tolist(), (size > 0).all(1).tolist()):
        if not has_area:
            continue
        rows, row_valid = _pixels(y_from[region], y_to[region], height)
        columns, column_valid = _pixels(x_from[region], x_to[region], width)
        values = input[int(image)][:, rows[:, :, None, None], columns]  # (C, bins_y, k_y, bins_x, k_x)
        valid = row_valid[:, :, None, None] & column_valid
        values = values.masked_fill(~valid, -torch.inf).transpose(2, 3).flatten(3)
        best, index = values.max(dim=-1) if values.shape[-1] else (values.new_full(values.shape[:3], -torch.inf), None)
        places = (rows[:, :, None, None] * width + columns).transpose(1, 2).flatten(2)
        empty = best == -torch.inf
        output[region] = best.masked_fill(empty, 0)
        if index is None:
            argmax[region] = -1
        else:
            places = places.expand(len(best), -1, -1, -1).gather(3, index[..., None])[..., 0]
            argmax[region] = places.masked_fill(empty, -1).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Adds each bin's gradient to the pixel of `grad_input` (B, C, H, W) that was its maximum."""
    _, channels, height, width = grad_input.shape
    maps = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    places = (maps * (height * width))[..., None, None] + argmax.clamp(min=0)
    shares = torch.where(argmax == -1, 0, grad_output)
    grad_input.view(-1).index_add_(0, places.flatten(), shares.flatten())


def _bins(start: Tensor, size: Tensor, bins: int, limit: int) -> tuple[Tensor, Tensor]:
    """First pixel and the one past the last (N, bins) of each bin along one axis."""
    index = torch.arange(bins + 1, device=start.device, dtype=start.dtype)
    edges = index * (size / bins)[:, None] + start[:, None]
    return edges[:, :-1].floor().clamp(0, limit).long(), edges[:, 1:].ceil().clamp(0, limit).long()


def _pixels(first: Tensor, end: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Indices (bins, longest bin), and which of them are in the bin."""
    index = first[:, None] + torch.arange(int((end - first).max().clamp(min=0)), device=first.device)
    return index.clamp(max=limit - 1), index < end[:, None]
