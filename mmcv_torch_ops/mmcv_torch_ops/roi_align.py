"""RoIAlign (https://arxiv.org/abs/1703.06870) by average, which torchvision computes, and by maximum.

Source: mmcv 2.3.6, ``csrc/pytorch/cpu/roi_align.cpp``. A region (image, x1, y1, x2, y2) times `spatial_scale`, shifted by
half a pixel where `aligned`, is divided into bins of g_y x g_x points (`sampling_ratio`, or where that is 0 a bin's
size in pixels, rounded up), each read bilinearly; a bin is the average or the maximum of its points.
"""

from __future__ import annotations

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from mmcv_torch_ops.bilinear import bilinear
from mmcv_torch_ops.errors import OperatorError
from mmcv_torch_ops.numbers import single

MAXIMUM = 0  # the pool mode; 1 is the average


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Writes the bins (N, C, h, w) of the regions `rois` (N, 5) of `input` (B, C, H, W) to `output`.

    With the maximum also its position in the map to `argmax_y` and `argmax_x` (N, C, h, w), -1 for none.

    Raises:
        OperatorError: If a region has a negative size, which mmcv's operator refuses on the CPU too.
    """
    scale = single(spatial_scale)
    if aligned and not rois.is_cuda and not (_start_and_size(rois, scale, aligned)[1] >= 0).all():
        raise OperatorError(
            'RoIAlign got a region with x2 < x1 or y2 < y1 (or NaN); clip or filter the boxes before it.'
        )
    if pool_mode == MAXIMUM:
        _max_forward(input, rois, output, argmax_y, argmax_x, scale, sampling_ratio, aligned)
    else:
        bins = torch.ops.torchvision.roi_align(
            input, rois, scale, aligned_height, aligned_width, sampling_ratio, aligned
        )
        output.copy_(bins)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Writes the gradient (B, C, H, W) of the input, which mmcv hands over filled with zeros, to `grad_input`."""
    if pool_mode == MAXIMUM:
        _max_backward(grad_output, rois, argmax_y, argmax_x, grad_input)
        return
    gradient = torch.ops.torchvision._roi_align_backward(
        grad_output,
        rois,
        single(spatial_scale),
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.copy_(gradient)


def _start_and_size(rois: Tensor, scale: float, aligned: bool) -> tuple[Tensor, Tensor]:
    """The upper left corner (N, 2) and the size (N, 2) in pixels of the map, as (x, y)."""
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    size = corners[:, 2:] - corners[:, :2]
    return corners[:, :2], size if aligned else size.clamp(min=1)


def _max_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> None:
    n, c, height, width = output.shape
    start, size = _start_and_size(rois, scale, aligned)
    bins = size / size.new_tensor([width, height])
    grid = torch.full_like(bins, sampling_ratio) if sampling_ratio > 0 else bins.ceil()
    for region, image, (grid_x, grid_y) in zip(range(n), rois[:, 0].tolist(), grid.tolist()):
        if min(grid_x, grid_y) <= 0:
            # What the source begins with: the maximum over no point.
            output[region] = torch.finfo(torch.float32).min if output.is_cuda else -10000
            argmax_y[region], argmax_x[region] = -1, -1
            continue
        y = _points(start[region, 1], bins[region, 1], height, int(grid_y))
        x = _points(start[region, 0], bins[region, 0], width, int(grid_x))
        weights, places = bilinear(y[:, None], x[None], *input.shape[2:])
        pixels = input[int(image)].flatten(1)
        parts = (weight * pixels[:, place] for weight, place in zip(weights, places))
        values = (
            sum(parts, start=pixels.new_zeros(()))
            .view(c, height, int(grid_y), width, int(grid_x))
            .transpose(2, 3)
            .flatten(3)
        )
        output[region], index = values.max(dim=-1)
        rows = torch.arange(height, device=index.device)[:, None] * int(grid_y) + index // int(grid_x)
        columns = torch.arange(width, device=index.device) * int(grid_x) + index % int(grid_x)
        argmax_y[region], argmax_x[region] = y[rows], x[columns]


def _max_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor) -> None:
    _, channels, height, width = grad_input.shape
    maps = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    first = (maps * (height * width))[..., None, None]
    weights, places = bilinear(argmax_y, argmax_x, height, width)
    for weight, place in zip(weights, places):
        share = torch.where(argmax_y == -1, 0, grad_output * weight)
        grad_input.view(-1).index_add_(0, (first + place).flatten(), share.flatten())


def _points(start: Tensor, size: Tensor, bins: int, grid: int) -> Tensor:
    """The coordinates (bins * grid) of the points along one axis."""
    bin_index = torch.arange(bins, device=start.device, dtype=start.dtype)[:, None]
    point = torch.arange(grid, device=start.device, dtype=start.dtype) + 0.5
    return (start + bin_index * size + point * size / grid).flatten()
