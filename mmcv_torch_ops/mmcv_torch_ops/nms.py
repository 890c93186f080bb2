"""Non-maximum suppression: greedy, soft, and with the suppressed boxes listed.

Source: mmcv 2.3.6, ``csrc/pytorch/cpu/nms.cpp``. Boxes are (x1, y1, x2, y2); with `offset` 1, as in MMDetection 1.x, a
side is x2 - x1 + 1. All arithmetic is in float32 in the order of the source, so that a comparison with the threshold
comes out as in the compiled operator.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from mmcv_torch_ops.numbers import require_float32, single

NAIVE, LINEAR, GAUSSIAN = range(3)
BLOCK = 64  # rows of the table of overlaps that are computed at once: few megabytes for thousands of boxes


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices (K,), by falling score, of the boxes (N, 4) that no better kept box overlaps by more than the threshold."""
    require_float32('nms', boxes=boxes, scores=scores)
    if offset:
        kept = [best for best, _ in _groups(boxes, scores, iou_threshold, offset, np.greater)]
        return torch.tensor(kept, dtype=torch.long, device=boxes.device)
    # torchvision sorts equal scores otherwise than mmcv: it gets the boxes sorted by mmcv's call and ranks as scores.
    order = scores.sort(0, descending=True)[1]
    ranks = torch.arange(len(order), 0, -1, dtype=torch.float32, device=boxes.device)
    return order[torch.ops.torchvision.nms(boxes[order], ranks, single(iou_threshold))]


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """For each kept row of dets (N, 5; the last is the score) its index and those of the boxes that it suppresses.

    A box is suppressed where the IoU reaches the threshold (in :func:`nms` it has to exceed it).
    """
    require_float32('nms_match', dets=dets)
    groups = _groups(dets[:, :4], dets[:, 4], iou_threshold, 0, np.greater_equal)
    return [[best, *suppressed] for best, suppressed in groups]


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lowers the scores of overlapping boxes instead of removing them (https://arxiv.org/abs/1704.04503).

    Each round takes the best box left and multiplies the scores of the others by a weight of their IoU u with it:
    method 0: 0 where u >= threshold, 1: 1 - u where u >= threshold, 2: exp(-u^2 / sigma). Boxes whose score falls below
    `min_score` are dropped.

    Args:
        boxes: (N, 4) on the CPU, with `scores` (N,).
        dets: (N, 5) on the CPU; its first K rows become boxes and final scores.

    Returns:
        Their K indices into `boxes`, in the order in which they were taken.
    """
    require_float32('softnms', boxes=boxes, scores=scores, dets=dets)
    threshold, sigma32, lowest = np.float32(iou_threshold), np.float32(sigma), np.float32(min_score)
    # One row per box: x1, y1, x2, y2, score.
    table = torch.cat((boxes.reshape(-1, 4), scores[:, None]), dim=1).detach().numpy().copy()
    indices = np.arange(len(table))
    i = 0
    while i < len(table):
        best = i + int(table[i:, 4].argmax())
        table[[i, best]], indices[[i, best]] = table[[best, i]], indices[[best, i]]
        rest = table[i + 1 :]
        iou = _overlaps(table[i : i + 1, :4], rest[:, :4], offset)[0]
        if method == GAUSSIAN:
            # expf is correctly rounded nearly everywhere; so is this, and numpy's float32 exp is not.
            weight = np.exp((-(iou * iou) / sigma32).astype(np.float64)).astype(np.float32)
        else:
            reduced = np.float32(0) if method == NAIVE else 1 - iou
            weight = np.where(iou >= threshold, reduced, np.float32(1))
        rest[:, 4] *= weight
        # The source fills each gap with the last box, which decides the order of equal scores.
        alive = ~(rest[:, 4] < lowest)
        left = int(alive.sum())
        gaps = i + 1 + np.flatnonzero(~alive[:left])
        fillers = i + 1 + left + np.flatnonzero(alive[left:])[::-1]
        table[gaps], indices[gaps] = table[fillers], indices[fillers]
        i += 1
        table, indices = table[: i + left], indices[: i + left]
    dets[: len(table)] = torch.from_numpy(table)
    return torch.from_numpy(indices)


def _groups(
    boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int, exceeds: np.ufunc
) -> Iterator[tuple[int, list[int]]]:
    """Pairs of a kept box and the boxes that it suppresses, by falling score."""
    order_t = scores.sort(0, descending=True)[1]
    table, order = boxes[order_t].detach().cpu().numpy(), order_t.cpu().numpy()
    alive = np.ones(len(order), bool)
    for start in range(0, len(order), BLOCK):
        rows = start + np.flatnonzero(alive[start : start + BLOCK])
        over = exceeds(_overlaps(table[rows], table[start:], offset), np.float32(iou_threshold))
        for row, hits in zip(rows, over):
            if alive[row]:
                hits[: row - start + 1] = False
                hits &= alive[start:]
                alive[start:] ^= hits
                yield int(order[row]), order[start + np.flatnonzero(hits)].tolist()


def _overlaps(first: np.ndarray, second: np.ndarray, offset: int) -> np.ndarray:
    """IoU (M, N) of boxes (M, 4) and (N, 4); NaN where both have no area."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = np.ascontiguousarray(first.T)[..., None], np.ascontiguousarray(second.T)
    width = np.minimum(x2, u2)
    width -= np.maximum(x1, u1)
    width += offset
    height = np.minimum(y2, v2)
    height -= np.maximum(y1, v1)
    height += offset
    intersection = np.maximum(width, 0, out=width)
    intersection *= np.maximum(height, 0, out=height)
    union = (x2 - x1 + offset) * (y2 - y1 + offset) + (u2 - u1 + offset) * (v2 - v1 + offset)
    union -= intersection
    with np.errstate(all='ignore'):
        return np.divide(intersection, union, out=union)
