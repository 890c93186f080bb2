"""DETR: a fixed number of queries, each with a class and a box; no NMS."""

from typing import Any

import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.models.detectors import DETR
from torch import Tensor, nn
from torch.nn import functional as F

from eca_mm.export.detectors.operations import Frame, chosen, indices_where


class QueryDecoder(nn.Module):
    """DETR's transformer and head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.cfg = model, model.bbox_head.test_cfg or {}

    @staticmethod
    def decodes(model: Any) -> bool:
        """Whether a detector is DETR itself: Conditional and DAB-DETR look up their queries in other ways."""
        return type(model) is DETR and type(model.bbox_head) is DETRHead

    def forward(self, feature: Tensor, padded: tuple[int, int], frame: Frame, threshold: Tensor) -> tuple[Tensor, ...]:
        """Boxes (N, 4), scores (N,) and labels (N,) from the last feature map (1, C, h, w) of an image."""
        model, size = self.model, frame.size
        rows, columns = (torch.arange(n, device=feature.device) for n in padded)
        outside = ((rows >= size[0])[:, None] | (columns >= size[1])[None]).to(feature)
        mask = F.interpolate(outside[None, None], size=feature.shape[-2:]).to(torch.bool).squeeze(1)
        position = model.positional_encoding(mask).flatten(2).permute(0, 2, 1)
        mask = mask.flatten(1)
        memory = model.forward_encoder(feature.flatten(2).permute(0, 2, 1), mask, position)
        inputs, _ = model.pre_decoder(**memory)
        states = model.forward_decoder(**inputs, memory_mask=mask, memory_pos=position)['hidden_states']
        logits, boxes = model.bbox_head(states[-1:])
        return self._detections(logits[-1, 0], boxes[-1, 0], frame, threshold)

    def _detections(self, logits: Tensor, boxes: Tensor, frame: Frame, threshold: Tensor) -> tuple[Tensor, ...]:
        count, head = self.cfg.get('max_per_img', logits.shape[0]), self.model.bbox_head
        if head.loss_cls.use_sigmoid:
            scores, index = logits.sigmoid().flatten().topk(count)
            labels, rows = index % head.num_classes, index // head.num_classes
        else:
            best, label = logits.softmax(-1)[:, :-1].max(-1)
            scores, rows = best.topk(count)
            labels = label[rows]
        centre, extent = boxes[rows, :2], boxes[rows, 2:]
        size = frame.size.flip(0).repeat(2)
        corners = (torch.cat((centre - 0.5 * extent, centre + 0.5 * extent), 1) * size).clamp(min=0).minimum(size)
        corners, scores, labels = chosen(indices_where(scores > threshold), (corners, scores, labels))
        return corners * frame.factor.repeat(2), scores, labels
