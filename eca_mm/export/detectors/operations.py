"""Operations of mmdet's heads without branches on values, so that torch.export can follow them.

mmdet's own functions ask whether boxes are left, which torch.export cannot answer, and within torch's ONNX exporter they
import ``mmdet.core`` of mmdet 2. The formulas are theirs, in the same order, so that rounding is theirs too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder, DistancePointBBoxCoder
from torch import Tensor
from torchvision.ops import nms

from eca_mm.errors import UserError


class Frame(NamedTuple):
    """An image within its padded batch."""

    size: Tensor  # (2,): height and width in pixels without the padding
    factor: Tensor  # (2,): boxes are multiplied by it, x and y, to be in pixels of the original


class Nms(NamedTuple):
    """Greedy non-maximum suppression, per group of boxes or over all of them."""

    iou_threshold: float
    per_group: bool

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> 'Nms':
        """From ``test_cfg.nms``.

        Raises:
            UserError: If it asks for another algorithm, such as Soft-NMS, which ONNX does not have.
        """
        known = {'type', 'iou_threshold', 'class_agnostic', 'split_thr'}
        if settings.get('type', 'nms') != 'nms' or set(settings) - known:
            raise UserError(
                f'test_cfg.nms is {dict(settings)}: only type nms with {", ".join(sorted(known - {"type"}))} can be '
                'exported; change it by --cfg-options, and test again, since the detections change with it'
            )
        return cls(settings['iou_threshold'], not settings.get('class_agnostic', False))

    def __call__(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> Tensor:
        """Indices of the kept boxes (N, 4), by falling score."""
        if self.per_group:
            # As mmcv's batched_nms: groups are shifted apart. A zero more, since there may be no box at all.
            largest = torch.cat((boxes.flatten(), boxes.new_zeros(1))).max()
            boxes = boxes + (groups.to(boxes) * (largest + 1))[:, None]
        return nms(boxes, scores, self.iou_threshold)


def select_top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` greatest scores (N,) and their indices; where N is less, the rest are -1 with the last index.

    So the number of outputs does not depend on the size of the images. -1 is under every threshold.
    """
    if count <= 0:
        count = int(scores.shape[0])
    padded = torch.cat((scores, scores.new_full((count,), -1.0)))
    values, indices = padded.topk(count)
    return values, indices.clamp(max=scores.shape[0] - 1)


def decode(coder: Any, priors: Tensor, deltas: Tensor, size: Tensor | None) -> Tensor:
    """Boxes (N, 4) of priors, anchors (N, 4) or points (N, 2), and what the network predicts for them (N, 4)."""
    boxes = (_decode_distances if isinstance(coder, DistancePointBBoxCoder) else _decode_deltas)(coder, priors, deltas)
    if size is None or not coder.clip_border:
        return boxes
    return boxes.clamp(min=0).minimum(size.flip(0).repeat(2).to(boxes))


def check_coder(coder: Any) -> None:
    """Check that :func:`decode` knows a box coder.

    Raises:
        UserError: If it does not.
    """
    known = (DeltaXYWHBBoxCoder, DistancePointBBoxCoder)
    if type(coder) not in known:
        names = ' and '.join(k.__name__ for k in known)
        raise UserError(f'the box coder {type(coder).__name__} cannot be exported: {names} can')


def _decode_distances(_: Any, points: Tensor, distances: Tensor) -> Tensor:
    return torch.cat((points - distances[:, :2], points + distances[:, 2:]), -1)


def _decode_deltas(coder: Any, anchors: Tensor, deltas: Tensor) -> Tensor:
    deltas = deltas * deltas.new_tensor(coder.stds) + deltas.new_tensor(coder.means)
    centre, size = (anchors[:, :2] + anchors[:, 2:]) * 0.5, anchors[:, 2:] - anchors[:, :2]
    shift, log_scale = size * deltas[:, :2], deltas[:, 2:]
    limit = abs(math.log(16 / 1000))
    if coder.add_ctr_clamp:  # YOLOF
        shift, log_scale = shift.clamp(-coder.ctr_clamp, coder.ctr_clamp), log_scale.clamp(max=limit)
    else:
        log_scale = log_scale.clamp(-limit, limit)
    centre, size = centre + shift, size * log_scale.exp()
    return torch.cat((centre - size * 0.5, centre + size * 0.5), -1)


def indices_where(condition: Tensor) -> Tensor:
    """The indices (M,) at which a condition (N,) holds."""
    return condition.nonzero().squeeze(1)


def chosen(indices: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same entries of several tensors."""
    return [tensor[indices] for tensor in tensors]
