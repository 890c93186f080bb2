"""Dense heads, of one stage and the RPN: from their raw outputs to boxes."""

from typing import Any

import torch
from mmdet.models.dense_heads import GFLHead, RPNHead, YOLOXHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from torch import Tensor, nn

from eca_mm.export.detectors.operations import Frame, Nms, check_coder, chosen, decode, indices_where, select_top

Levels = list[tuple[Tensor, ...]]  # of each level the outputs of the head for one image, (channels, h, w)


class DenseDecoder(nn.Module):
    """Anchors or points with class scores, box offsets and, in FCOS and ATSS, a third output that weights the scores.

    RetinaNet, FCOS, ATSS, RTMDet, FreeAnchor and others: every head that decodes as mmdet's base class does.
    """

    decoded_as = BaseDenseHead  # what the head's functions of decoding must be inherited from, unchanged
    with_stride = False

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head, self.cfg, self.nms = head, head.test_cfg, Nms.of(head.test_cfg.nms)
        if hasattr(head, 'bbox_coder'):
            check_coder(head.bbox_coder)

    @classmethod
    def decodes(cls, head: Any) -> bool:
        """Whether a head decodes its outputs as this class does."""
        names = ('predict', 'predict_by_feat', '_predict_by_feat_single', '_bbox_post_process')
        ours, theirs = cls.decoded_as, type(head)
        return isinstance(head, ours) and all(getattr(theirs, n, None) is getattr(ours, n, None) for n in names)

    def forward(self, levels: Levels, frame: Frame, threshold: Tensor) -> tuple[Tensor, ...]:
        """Boxes (N, 4) in pixels of the original image, scores (N,) and labels (N,), by falling score."""
        parts = [self.candidates(i, outputs, self.priors(i, outputs[0])) for i, outputs in enumerate(levels)]
        scores, weights, labels, priors, offsets = (torch.cat(part) for part in zip(*parts, strict=True))
        boxes = decode(self.head.bbox_coder, priors, offsets, frame.size) * frame.factor.repeat(2)
        valid = scores > threshold
        smallest = self.cfg.get('min_bbox_size', -1)
        if smallest >= 0:
            valid = valid & ((boxes[:, 2:] - boxes[:, :2]) > smallest).all(1)
        boxes, scores, labels = chosen(indices_where(valid), (boxes, scores * weights, labels))
        kept = self.nms(boxes, scores, labels)[: self.cfg.max_per_img]
        return boxes[kept], scores[kept], labels[kept]

    def priors(self, i: int, scores: Tensor) -> Tensor:
        """The anchors or points of a level."""
        options = dict(with_stride=True) if self.with_stride else {}
        return self.head.prior_generator.single_level_grid_priors(
            scores.shape[-2:], i, dtype=scores.dtype, device=scores.device, **options
        )

    def candidates(self, i: int, outputs: tuple[Tensor, ...], priors: Tensor) -> tuple[Tensor, ...]:
        """The best classes of anchors of a level: scores, their weights, labels, anchors, offsets."""
        classes, offsets, *third = outputs
        scores = self.activated(_rows(classes, self.head.cls_out_channels))
        count = scores.shape[1]
        best, index = select_top(scores.flatten(), self.cfg.get('nms_pre', -1))
        rows = index // count
        weights = _rows(third[0], 1)[rows, 0].sigmoid() if third else torch.ones_like(best)
        return best, weights, index % count, priors[rows], self.offsets(i, offsets)[rows]

    def activated(self, scores: Tensor) -> Tensor:
        """Scores of the classes (N, C) from 0 to 1."""
        return scores.sigmoid() if self.head.use_sigmoid_cls else scores.softmax(-1)[:, :-1]

    def offsets(self, _: int, outputs: Tensor) -> Tensor:
        """What the box coder decodes (N, 4)."""
        return _rows(outputs, self.head.bbox_coder.encode_size)


class GFLDecoder(DenseDecoder):
    """Generalized Focal Loss: distances are expectations over a distribution, in strides."""

    decoded_as = GFLHead

    def priors(self, i: int, scores: Tensor) -> Tensor:
        return self.head.anchor_center(super().priors(i, scores))

    def offsets(self, i: int, outputs: Tensor) -> Tensor:
        return self.head.integral(outputs.permute(1, 2, 0)) * self.head.prior_generator.strides[i][0]


class YOLOXDecoder(DenseDecoder):
    """YOLOX: centre and logarithm of the size in strides; the best class of each point, weighted by objectness."""

    decoded_as = YOLOXHead
    with_stride = True

    def forward(self, levels: Levels, frame: Frame, threshold: Tensor) -> tuple[Tensor, ...]:
        priors = torch.cat([self.priors(i, outputs[0]) for i, outputs in enumerate(levels)])
        classes, offsets, objectness = (
            torch.cat([_rows(outputs[k], channels) for outputs in levels])
            for k, channels in enumerate((self.head.cls_out_channels, 4, 1))
        )
        best, labels = classes.sigmoid().max(1)
        scores = best * objectness[:, 0].sigmoid()
        boxes = self.head._bbox_decode(priors, offsets[None])[0] * frame.factor.repeat(2)
        boxes, scores, labels = chosen(indices_where(scores >= threshold), (boxes, scores, labels))
        kept = self.nms(boxes, scores, labels)
        return boxes[kept], scores[kept], labels[kept]


class Proposals(DenseDecoder):
    """The RPN: the best anchors of each level; NMS per level."""

    decoded_as = RPNHead

    def candidates(self, i: int, outputs: tuple[Tensor, ...], priors: Tensor) -> tuple[Tensor, ...]:
        best, weights, labels, priors, offsets = super().candidates(i, outputs, priors)
        return best, weights, torch.full_like(labels, i), priors, offsets


def _rows(level: Tensor, channels: int) -> Tensor:
    """(anchors * channels, h, w) -> (h * w * anchors, channels)."""
    return level.permute(1, 2, 0).reshape(-1, channels)
