"""The second stage of Faster, Mask and Cascade R-CNN."""

from typing import Any

import torch
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import GenericRoIExtractor, SingleRoIExtractor
from torch import Tensor, nn
from torchvision.ops import roi_align

from eca_mm.errors import UserError
from eca_mm.export.detectors.operations import Frame, Nms, check_coder, chosen, decode, indices_where

PREDICTING = ('predict', 'predict_bbox', 'predict_mask', '_bbox_forward', '_mask_forward')


class RoIFeatures(nn.Module):
    """Features (N, C, h, w) of boxes (N, 4) of one image, by RoIAlign."""

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        for layer in extractor.roi_layers:
            if type(layer).__name__ != 'RoIAlign' or layer.pool_mode != 'avg':
                raise UserError(
                    f'the RoI layer {type(layer).__name__} ({getattr(layer, "pool_mode", "max")}) cannot be exported: '
                    'RoIAlign with pool_mode avg can'
                )
        if type(extractor) not in (SingleRoIExtractor, GenericRoIExtractor):
            raise UserError(
                f'the RoI extractor {type(extractor).__name__} cannot be exported: SingleRoIExtractor and '
                'GenericRoIExtractor can'
            )
        self.extractor = extractor

    def forward(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Of a :class:`SingleRoIExtractor` from the level that suits a box, of a generic one from all levels."""
        extractor = self.extractor
        rois = torch.cat((torch.zeros_like(boxes[:, :1]), boxes), 1)
        features = features[: extractor.num_inputs]
        if isinstance(extractor, GenericRoIExtractor):
            return self._from_all_levels(features, rois)
        if len(features) == 1:
            return self._align(0, features[0], rois)
        levels = extractor.map_roi_levels(rois, len(features))[:, None]
        # On the other levels a box is empty: 0, at hardly any cost, and the same number of boxes for the exporter.
        aligned = [self._align(i, level, rois * (levels == i)) for i, level in enumerate(features)]
        return torch.stack(aligned).sum(0)

    def _from_all_levels(self, features: list[Tensor], rois: Tensor) -> Tensor:
        extractor = self.extractor
        levels = [self._align(i, level, rois) for i, level in enumerate(features)]
        if extractor.with_pre:
            levels = [extractor.pre_module(level) for level in levels]
        joined = torch.cat(levels, 1) if extractor.aggregation == 'concat' else torch.stack(levels).sum(0)
        return extractor.post_module(joined) if extractor.with_post else joined

    def _align(self, i: int, level: Tensor, rois: Tensor) -> Tensor:
        layer = self.extractor.roi_layers[i]
        return roi_align(level, rois, layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.aligned)


class Stage(nn.Module):
    """A box head with its features: boxes (N, 4) -> logits (N, classes + 1) and offsets (N, 4 or 4 * classes)."""

    def __init__(self, extractor: Any, head: Any, shared: nn.Module | None) -> None:
        super().__init__()
        if type(head)._predict_by_feat_single is not BBoxHead._predict_by_feat_single or head.custom_cls_channels:
            raise UserError(f'the box head {type(head).__name__} cannot be exported: those that decode as BBoxHead can')
        if not head.with_reg:
            raise UserError(f'the box head {type(head).__name__} without boxes (with_reg=False) cannot be exported')
        check_coder(head.bbox_coder)
        self.features, self.head, self.shared = RoIFeatures(extractor), head, shared

    def forward(self, features: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        regions = self.features(features, boxes)
        return self.head(regions if self.shared is None else self.shared(regions))

    def decode(self, boxes: Tensor, offsets: Tensor, frame: Frame) -> Tensor:
        """Boxes (N, classes, 4), or (N, 1, 4) where the head is class-agnostic."""
        classes = offsets.shape[1] // 4
        repeated = boxes[:, None].expand(-1, classes, -1).reshape(-1, 4)
        return decode(self.head.bbox_coder, repeated, offsets.reshape(-1, 4), frame.size).reshape(-1, classes, 4)


class SecondStage(nn.Module):
    """Box heads one after another, NMS per class, and mask heads."""

    def __init__(self, roi_head: Any) -> None:
        super().__init__()
        self.cfg, self.nms = roi_head.test_cfg, Nms.of(roi_head.test_cfg.nms)
        shared = roi_head.shared_head if roi_head.with_shared_head else None
        cascade = isinstance(roi_head, CascadeRoIHead)

        def each(part: Any) -> list[Any]:
            return list(part) if cascade else [part]

        pairs = zip(each(roi_head.bbox_roi_extractor), each(roi_head.bbox_head), strict=True)
        self.stages = nn.ModuleList(Stage(extractor, head, shared) for extractor, head in pairs)
        self.shared, self.with_masks = shared, bool(roi_head.with_mask)
        if self.with_masks:
            heads = each(roi_head.mask_head)
            for head in heads:
                if type(head).predict_by_feat is not FCNMaskHead.predict_by_feat or (
                    type(head)._predict_by_feat_single is not FCNMaskHead._predict_by_feat_single
                ):
                    raise UserError(f'the mask head {type(head).__name__} cannot be exported: FCNMaskHead can')
            self.mask_heads = nn.ModuleList(heads)
            self.mask_features = nn.ModuleList(map(RoIFeatures, each(roi_head.mask_roi_extractor)))

    @staticmethod
    def decodes(roi_head: Any) -> bool:
        """Whether a RoI head predicts as mmdet's standard or cascade head does."""
        ours: Any = CascadeRoIHead if isinstance(roi_head, CascadeRoIHead) else StandardRoIHead
        names = (*PREDICTING, '_refine_roi') if ours is CascadeRoIHead else PREDICTING
        return isinstance(roi_head, ours) and all(getattr(type(roi_head), n) is getattr(ours, n) for n in names)

    def forward(self, features: list[Tensor], boxes: Tensor, frame: Frame, threshold: Tensor) -> tuple[Tensor, ...]:
        """Boxes (N, 4) in pixels of the original image, scores (N,), labels (N,) and, with masks, masks (N, h, w)."""
        logits = []
        stage: Any
        for i, stage in enumerate(self.stages):
            scores, offsets = stage(features, boxes)
            logits.append(scores)
            decoded = stage.decode(boxes, offsets, frame)
            if i + 1 < len(self.stages):
                best = scores[:, :-1].argmax(1).minimum(torch.tensor(decoded.shape[1] - 1))
                boxes = decoded.gather(1, best[:, None, None].expand(-1, 1, 4)).squeeze(1)
        mean = sum(logits[1:], start=logits[0]) / float(len(logits))
        return self._detections(features, decoded, mean.softmax(-1)[:, :-1], frame, threshold)

    def _detections(
        self, features: list[Tensor], boxes: Tensor, scores: Tensor, frame: Frame, threshold: Tensor
    ) -> tuple[Tensor, ...]:
        classes = scores.shape[1]
        to_original = frame.factor.repeat(2)
        if not self.with_masks:  # mmdet's order: with masks, NMS runs in the resized image
            boxes = boxes * to_original
        pairs = indices_where(scores.flatten() > threshold)
        rows, labels = pairs // classes, pairs % classes
        boxes = boxes[rows, labels if boxes.shape[1] > 1 else torch.zeros_like(labels)]
        scores = scores.flatten()[pairs]
        kept = self.nms(boxes, scores, labels)
        if self.cfg.max_per_img > 0:
            kept = kept[: self.cfg.max_per_img]
        boxes, scores, labels = chosen(kept, (boxes, scores, labels))
        if not self.with_masks:
            return boxes, scores, labels
        return boxes * to_original, scores, labels, self._masks(features, boxes, labels)

    def _masks(self, features: list[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
        """Probabilities (N, h, w) of the foreground within each box, the mean over the mask heads."""
        masks = []
        for extract, head in zip(self.mask_features, self.mask_heads, strict=True):
            regions = extract(features, boxes)
            logits = head(regions if self.shared is None else self.shared(regions))
            index = (torch.zeros_like(labels) if head.class_agnostic else labels)[:, None, None, None]
            masks.append(logits.gather(1, index.expand(-1, 1, *logits.shape[2:])).squeeze(1).sigmoid())
        return sum(masks[1:], start=masks[0]) / float(len(masks))
