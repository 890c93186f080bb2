"""Detectors of MMDetection 1.x at test time: what mmdet's legacy pieces leave out.

1.x counted pixels: a box [x1, x2] contains both of its ends and is x2 - x1 + 1 wide. mmdet's ``LegacyDeltaXYWHBBoxCoder``
counts so too, but the boxes that it decodes reach half a pixel further on both sides. Nothing corrects that: the second
stage adds another pixel, and the boxes in COCO's file lie half a pixel to the left and above. A detector that finds every
box perfectly then has, on 80 images of COCO, an AP of 93.9, and 83.2 for small objects, instead of 100
(tests/models/test_legacy.py). mmdet itself measured 0.5 box AP and 0.3 mask AP less than 1.x with its pieces
(configs/legacy_1.x/README.md, Mask R-CNN); the paper's ECA and SE are 0.3 apart with ResNet-50. With the classes of this
module, boxes are those of 1.x from the anchor to the last NMS, and COCO's only in what is returned.

For testing only: their targets for training are not those of 1.x.

Left as in mmdet 3: the scale factors of width and height differ by rounding, RoIs smaller than a cell of their feature
map count as one cell, and RetinaNet takes the 1000 best classes of anchors per level, not all classes of the 1000 best
anchors. The module needs mmdet; import it (``custom_imports``) to register its classes.
"""

from typing import Any

import cv2
import numpy as np
import torch
from mmdet.models.dense_heads import RetinaHead
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.coders import LegacyDeltaXYWHBBoxCoder
from mmengine.registry import MODELS, TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor


def _to_coco(results: InstanceData) -> InstanceData:
    """Boxes (N, 4) in pixels of the original image, both ends included, to COCO's [left, top, right, bottom]."""
    results.bboxes = results.bboxes + results.bboxes.new_tensor([0, 0, 1, 1])
    return results


@TASK_UTILS.register_module()
class LegacyBoxCoder(LegacyDeltaXYWHBBoxCoder):
    """mmdet's legacy coder with the half pixels of 1.x: decoding an encoded box returns the same box.

    With the centre gx and the width gw = (x2 - x1 + 1) e^dw: x1 = gx - gw / 2 + 1/2, x2 = gx + gw / 2 - 1/2.
    """

    def decode(
        self,
        bboxes: Tensor,
        pred_bboxes: Tensor,
        max_shape: tuple[int, ...] | None = None,
        wh_ratio_clip: float = 0.016,
    ) -> Tensor:
        """Boxes (N, 4) and deltas (N, 4 C) to boxes (N, 4 C) with their ends in the pixels of ``max_shape`` (H, W)."""
        times = pred_bboxes.size(-1) // 4
        decoded = super().decode(bboxes, pred_bboxes, None, wh_ratio_clip)
        decoded = decoded + decoded.new_tensor([0.5, 0.5, -0.5, -0.5]).repeat(times)
        if max_shape is None:
            return decoded
        height, width = max_shape[:2]
        return decoded.clamp(min=0).minimum(decoded.new_tensor([width - 1, height - 1]).repeat(2 * times))


@MODELS.register_module()
class LegacyRoIExtractor(SingleRoIExtractor):
    """Lets RoIs (N, 5) end after their last pixel, both for RoIAlign and for the choice of the feature map."""

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        return super().forward(feats, rois + rois.new_tensor([0, 0, 0, 1, 1]), roi_scale_factor)


@MODELS.register_module()
class LegacyRoIHead(StandardRoIHead):
    """NMS in pixels of the original image, with masks too; returns boxes as COCO's."""

    def predict(
        self, x: tuple[Tensor, ...], rpn_results_list: list, batch_data_samples: list, rescale: bool = False
    ) -> list[InstanceData]:
        metas = [sample.metainfo for sample in batch_data_samples]
        results = self.predict_bbox(x, metas, rpn_results_list, self.test_cfg, rescale=rescale)
        if self.with_mask:
            if rescale:  # mmdet 3's mask head expects boxes of the resized image, and scales them back
                for result, meta in zip(results, metas, strict=True):
                    result.bboxes = result.bboxes * result.bboxes.new_tensor(meta['scale_factor']).repeat(2)
            results = self.predict_mask(x, metas, results, rescale=rescale)
        return [_to_coco(result) for result in results]


@MODELS.register_module()
class LegacyMaskHead(FCNMaskHead):
    """Masks resized to the whole pixels of their box, as 1.x and OpenCV do it."""

    def _predict_by_feat_single(
        self, mask_preds: Tensor, bboxes: Tensor, labels: Tensor, img_meta: Any, rcnn_test_cfg: Any,
        rescale: bool = False, activate_map: bool = False
    ) -> Tensor:  # fmt: skip
        """Logits (N, C, h, w) and boxes (N, 4), which are scaled in place as by mmdet, to masks (N, H, W) of bool."""
        height, width = img_meta['ori_shape'][:2]
        if rescale:
            bboxes /= bboxes.new_tensor(img_meta['scale_factor']).repeat(2)
        else:
            width, height = (round(n * s) for n, s in zip((width, height), img_meta['scale_factor'], strict=True))
        chosen = mask_preds[range(len(mask_preds)), 0 if self.class_agnostic else labels]
        masks = (chosen if activate_map else chosen.sigmoid()).cpu().numpy()
        pasted = np.zeros((len(masks), height, width), dtype=bool)
        for canvas, mask, (x1, y1, x2, y2) in zip(pasted, masks, bboxes.int().tolist(), strict=True):
            w, h = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
            canvas[y1 : y1 + h, x1 : x1 + w] = cv2.resize(mask, (w, h)) > rcnn_test_cfg.mask_thr_binary
        return torch.from_numpy(pasted).to(bboxes.device)


@MODELS.register_module()
class LegacyRetinaHead(RetinaHead):
    """Returns boxes as COCO's."""

    def _bbox_post_process(self, *args: Any, **kwargs: Any) -> InstanceData:
        return _to_coco(super()._bbox_post_process(*args, **kwargs))
