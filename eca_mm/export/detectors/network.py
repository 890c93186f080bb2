"""A whole detector as one network: from normalised images to boxes, scores, labels and masks."""

from typing import Any

import torch
from torch import Tensor, nn

from eca_mm.errors import UserError
from eca_mm.export.detectors.dense import DenseDecoder, GFLDecoder, Proposals, YOLOXDecoder
from eca_mm.export.detectors.detr import QueryDecoder
from eca_mm.export.detectors.operations import Frame
from eca_mm.export.detectors.two_stage import SecondStage

DENSE = (YOLOXDecoder, GFLDecoder, DenseDecoder)
KNOWN = (
    'RPN with a standard or cascade RoI head (Faster, Mask and Cascade R-CNN), dense heads that decode as mmdet does '
    '(RetinaNet, FCOS, ATSS, RTMDet, ...), GFL, YOLOX, and DETR'
)
NO_LIMIT = 1e6  # pixels; as a size: the image fills its tensor


class ExportedDetector(nn.Module):
    """A detector's own backbone, neck and heads, with decoding that can be exported.

    Takes images (B, 3, H, W), normalised; ``sizes`` (B, 2), height and width of each image within the padding; ``factors``
    (B, 2), by which x and y of boxes are multiplied; ``score_threshold`` (). Returns ``boxes`` (N, 4) as x1, y1, x2, y2,
    ``scores`` (N,), ``labels`` (N,), ``masks`` (N, h, w) if the detector has them: the probability of the foreground within
    the box; and, where B is more than 1, ``image`` (N,), the index of the image of each.

    Raises:
        UserError: If a head is not one of ``KNOWN``.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone, self.neck = model.backbone, model.neck if model.with_neck else nn.Identity()
        self.head: Any = getattr(model, 'rpn_head', None)
        self.second: SecondStage | None = None
        self.first: Any
        if QueryDecoder.decodes(model):
            self.first = QueryDecoder(model)
        elif self.head is None:
            self.head = _required(model, 'bbox_head')
            kind = next((kind for kind in DENSE if kind.decodes(self.head)), None)
            if kind is None or getattr(model, 'with_mask', False):
                raise _unknown(self.head)
            self.first = kind(self.head)
        else:
            for part, known in ((self.head, Proposals.decodes), (_required(model, 'roi_head'), SecondStage.decodes)):
                if not known(part):
                    raise _unknown(part)
            self.first, self.second = Proposals(self.head), SecondStage(model.roi_head)
        self.eval().requires_grad_(False)

    @property
    def test_cfg(self) -> Any:
        """Settings of the last stage: ``score_thr``, ``max_per_img``, ``nms``."""
        return (self.second or self.first).cfg

    @property
    def score_threshold(self) -> float:
        """The config's least score; -1 where it has none."""
        return float(self.test_cfg.get('score_thr', -1))

    def output_names(self, batch: int) -> list[str]:
        masks = ['masks'] if self.second is not None and self.second.with_masks else []
        return ['boxes', 'scores', 'labels', *masks, *(['image'] if batch > 1 else [])]

    def defaults(self, batch: int) -> dict[str, Tensor]:
        """The inputs beside the images, for images that fill their tensor and boxes in its pixels."""
        return {
            'sizes': torch.full((batch, 2), NO_LIMIT),
            'factors': torch.ones(batch, 2),
            'score_threshold': torch.tensor(self.score_threshold),
        }

    @torch.inference_mode()
    def stride(self) -> int:
        """The greatest in it, in pixels."""
        return max(256 // level.shape[-1] for level in self.neck(self.backbone(torch.zeros(1, 3, 256, 256))))

    def forward(self, images: Tensor, sizes: Tensor, factors: Tensor, score_threshold: Tensor) -> tuple[Tensor, ...]:
        batch, padded = images.shape[0], (images.shape[2], images.shape[3])
        # A size as a number would be a constant of the exported network.
        sizes = sizes.minimum(torch.stack([torch.arange(n)[-1] + 1 for n in padded]).to(sizes))
        features = list(self.neck(self.backbone(images)))
        levels = [] if self.head is None else list(zip(*self._raw(features), strict=True))
        found = []
        for i in range(batch):
            frame = Frame(sizes[i], factors[i])
            own = [feature[i : i + 1] for feature in features]
            if isinstance(self.first, QueryDecoder):
                detections = self.first(own[-1], padded, frame, score_threshold)
            else:
                raw = [tuple(output[i] for output in level) for level in levels]
                detections = self._detect(own, raw, frame, score_threshold)
            index = [torch.full_like(detections[2], i)] if batch > 1 else []
            found.append((*detections, *index))
        return tuple(torch.cat(parts) if batch > 1 else parts[0] for parts in zip(*found, strict=True))

    def _raw(self, features: list[Tensor]) -> list[Any]:
        """Per level: class scores, offsets and, of some heads, a third output, which may be None."""
        return [output for output in self.head(tuple(features)) if output is not None]

    def _detect(self, features: list[Tensor], raw: list[Any], frame: Frame, threshold: Tensor) -> tuple[Tensor, ...]:
        if self.second is None:
            return self.first(raw, frame, threshold)
        unscaled = Frame(frame.size, torch.ones_like(frame.factor))
        boxes, _, _ = self.first(raw, unscaled, torch.tensor(-0.5).to(threshold))  # every anchor, but no filler
        return self.second(features, boxes, frame, threshold)


def _required(model: Any, name: str) -> Any:
    head = getattr(model, name, None)
    if head is None:
        raise UserError(f'the detector {type(model).__name__} has no {name}, and cannot be exported: {KNOWN} can')
    return head


def _unknown(head: Any) -> UserError:
    return UserError(
        f'the head {type(head).__name__} decodes in a way of its own, and cannot be exported: {KNOWN} can; '
        'with --part dense or features the part before the decoding can leave'
    )
