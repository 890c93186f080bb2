"""IoU of boxes (x1, y1, x2, y2).

Source: mmcv 2.3.6, ``csrc/pytorch/cpu/bbox_overlaps_cpu.cpp`` and ``csrc/common/cuda/bbox_overlaps_cuda_kernel.cuh``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Writes to `ious` the intersection over the union (mode 0) or over the area of the first box (mode 1).

    Args:
        bboxes1: (M, 4).
        bboxes2: (N, 4); with `aligned` M = N and row i is compared with row i.
        ious: (M, N), or (M,) with `aligned`.
        offset: Added to each side; 1 in MMDetection 1.x.
    """
    first = bboxes1 if aligned else bboxes1[:, None]
    sides = torch.min(first[..., 2:], bboxes2[:, 2:]) - torch.max(first[..., :2], bboxes2[:, :2]) + offset
    width, height = sides.clamp(min=0).unbind(dim=-1)
    intersection = width * height
    union = _area(first, offset)
    if mode == 0:
        union = union + _area(bboxes2, offset) - intersection
    if ious.is_cuda:
        union = union.clamp(min=offset)
    ious.copy_(intersection / union)


def _area(boxes: Tensor, offset: int) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0] + offset) * (boxes[..., 3] - boxes[..., 1] + offset)
