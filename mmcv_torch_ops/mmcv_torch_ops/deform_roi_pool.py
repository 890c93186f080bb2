"""Deformable RoI pooling (https://arxiv.org/abs/1703.06211): the average of each bin, moved by an offset of its own.

Source: mmcv 2.3.6, ``csrc/common/cuda/deform_roi_pool_cuda_kernel.cuh``; mmcv has it on GPUs only. A region (image, x1, y1,
x2, y2) times `spatial_scale`, shifted by half a pixel, is divided into bins of g_y x g_x points (`sampling_ratio`, or where
that is 0 a bin's size in pixels, rounded up). Bin (i, j) moves by `gamma` times its offset times the region's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

import torch
from torch import Tensor

from mmcv_torch_ops.bilinear import bilinear, is_inside, neighbours
from mmcv_torch_ops.numbers import single


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Write the bins (N, C, h, w) of the regions `rois` (N, 5) of `input` (B, C, H, W) to `output`.

    Args:
        offset: (N, 2, h, w) as (x, y), or empty.
    """
    pixels = _pixels(input)
    for group in _groups(input, rois, offset, output.shape, spatial_scale, sampling_ratio, gamma):
        total = pixels.new_zeros(len(group.members), pooled_height, pooled_width, input.shape[1])
        for y, x in group.points():
            weights, places = bilinear(y, x, *input.shape[2:])
            total += sum(weight[..., None] * pixels[group.first + place] for weight, place in zip(weights, places))
        output[group.members] = (total / group.count).permute(0, 3, 1, 2).to(output.dtype)


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Write the gradients of the input and of the offsets, which mmcv hands over filled with zeros."""
    height, width = input.shape[2:]
    pixels = _pixels(input)
    of_pixels = torch.zeros_like(pixels)
    for group in _groups(input, rois, offset, grad_output.shape, spatial_scale, sampling_ratio, gamma):
        gradient = grad_output[group.members].permute(0, 2, 3, 1).to(pixels.dtype) / group.count
        of_x, of_y = torch.zeros_like(group.x), torch.zeros_like(group.y)
        for y, x in group.points():
            weights, places = bilinear(y, x, height, width)
            corners = [group.first + place for place in places]
            for weight, corner in zip(weights, corners):
                of_pixels.index_add_(0, corner.flatten(), (weight[..., None] * gradient).flatten(0, 2))
            if offset.numel():
                # The derivative is that of the source: at the map's edges it goes on as if the map did.
                upper_left, upper_right, lower_left, lower_right = (
                    (pixels[corner] * gradient).sum(dim=-1) for corner in corners
                )
                (y_low, y_high, _, _), (x_low, x_high, _, _) = neighbours(y, height), neighbours(x, width)
                by_x = (lower_right - lower_left) * (y - y_low) + (upper_right - upper_left) * (y_high - y)
                by_y = (lower_right - upper_right) * (x - x_low) + (lower_left - upper_left) * (x_high - x)
                inside = is_inside(y, x, height, width)
                of_x += torch.where(inside, by_x, 0)
                of_y += torch.where(inside, by_y, 0)
        if offset.numel():
            of_offset = gamma * group.size[..., None, None] * torch.stack((of_x, of_y), dim=1)
            grad_offset[group.members] = of_offset.to(grad_offset.dtype)
    grad_input.copy_(of_pixels.view(len(input), height, width, -1).permute(0, 3, 1, 2))


@dataclass
class _Group:
    """Regions whose bins have the same number of points.

    Attributes:
        members: Their indices (n,).
        first: (n, 1, 1), the index of the first pixel of their image.
        size: (n, 2), as (x, y).
        y, x: (n, h, w), the upper left corner of each bin.
        grid: The points of a bin, as (g_y, g_x).
    """

    members: Tensor
    first: Tensor
    size: Tensor
    y: Tensor
    x: Tensor
    grid: tuple[int, int]

    @property
    def count(self) -> int:
        return max(self.grid[0] * self.grid[1], 1)

    def points(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the coordinates (n, h, w) of the bins' points, one point of every bin at a time."""
        bin_x, bin_y = (self.size / self.size.new_tensor([self.x.shape[2], self.x.shape[1]])).T[..., None, None]
        for i in range(self.grid[0]):
            for j in range(self.grid[1]):
                yield self.y + (i + 0.5) * bin_y / self.grid[0], self.x + (j + 0.5) * bin_x / self.grid[1]


def _groups(
    input: Tensor, rois: Tensor, offset: Tensor, shape: torch.Size, scale: float, sampling_ratio: int, gamma: float
) -> Iterator[_Group]:
    n, _, height, width = shape
    if not n:
        return
    rois = rois.float() if rois.dtype == torch.half else rois
    corners = rois[:, 1:] * single(scale) - 0.5
    start, size = corners[:, :2], corners[:, 2:] - corners[:, :2]
    bins = size / size.new_tensor([width, height])
    y = start[:, 1, None, None] + bins[:, 1, None, None] * torch.arange(height, device=rois.device)[:, None]
    x = start[:, 0, None, None] + bins[:, 0, None, None] * torch.arange(width, device=rois.device)
    shift = gamma * size[..., None, None] * offset.to(size.dtype) if offset.numel() else size.new_zeros(n, 2, 1, 1)
    y, x = (y + shift[:, 1]).expand(n, height, width), (x + shift[:, 0]).expand(n, height, width)
    grids = torch.full_like(bins, sampling_ratio) if sampling_ratio > 0 else bins.ceil()
    for grid_x, grid_y in grids.unique(dim=0).tolist():
        members = (grids == grids.new_tensor([grid_x, grid_y])).all(dim=1).nonzero()[:, 0]
        first = rois[members, 0].long()[:, None, None] * input[0, 0].numel()
        yield _Group(members, first, size[members], y[members], x[members], (int(grid_y), int(grid_x)))


def _pixels(input: Tensor) -> Tensor:
    """Return (B H W, C)."""
    pixels = input.permute(0, 2, 3, 1).flatten(0, 2)
    return pixels.float() if pixels.dtype == torch.half else pixels
