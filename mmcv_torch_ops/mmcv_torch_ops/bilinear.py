"""Bilinear interpolation at points of a feature map, as mmcv's RoI operators do it."""

from __future__ import annotations

import torch
from torch import Tensor


def bilinear(y: Tensor, x: Tensor, height: int, width: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights of the four pixels around each point, and their indices in the map laid out row by row.

    The order is upper left, upper right, lower left, lower right. The weights are 0 at points outside [-1, size].
    """
    inside = is_inside(y, x, height, width)
    (y_low, y_high, hy, ly), (x_low, x_high, hx, lx) = neighbours(y, height), neighbours(x, width)
    weights = [torch.where(inside, weight, 0) for weight in (hy * hx, hy * lx, ly * hx, ly * lx)]
    places = [y_low * width + x_low, y_low * width + x_high, y_high * width + x_low, y_high * width + x_high]
    return weights, places


def is_inside(y: Tensor, x: Tensor, height: int, width: int) -> Tensor:
    """Return where a point lies in the map or less than a pixel beside it."""
    return (y >= -1) & (y <= height) & (x >= -1) & (x <= width)


def neighbours(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the two pixels beside each position along one axis, and their weights."""
    position = position.clamp(0, size - 1)
    low = position.long()
    share = position - low
    return low, (low + 1).clamp(max=size - 1), 1 - share, share
