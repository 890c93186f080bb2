"""The part of a network that leaves the framework: from normalised images to tensors, batch norm folded."""

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from eca_mm.checkpoints import kernel_sizes, read_checkpoint
from eca_mm.engine.config.parts import is_classifier, is_rgb
from eca_mm.engine.model import model_of
from eca_mm.errors import UserError
from eca_mm.paths import config_name
from eca_mm.version import __version__

PARTS = ('model', 'backbone', 'features', 'dense')
STRIDE = 32  # pixels; of a backbone's fifth stage


class ExportedPart(nn.Module):
    """A part of a classifier or detector. Takes images (N, 3, H, W), already normalised, and returns a tuple of tensors.

    ========  ==========================================================================================================
    model     a classifier: ``logits`` (N, classes)
    backbone  ``stage_i`` for each i of its out_indices: (N, channels, height, width)
    features  of the neck: a classifier's ``feature_0`` (N, channels), the FPN's ``feature_0``, ... (N, channels, h, w)
    dense     a detector's ``feature_i`` and, for each, ``cls_i`` (N, anchors * classes, h, w), before the sigmoid, and
              ``bbox_i`` (N, anchors * 4, h, w), to be decoded: of the RPN, or of a one-stage detector's head; FCOS and
              its like have a ``third_i`` too, the centerness
    ========  ==========================================================================================================
    """

    def __init__(self, model: Any, part: str) -> None:
        super().__init__()
        self.part, self.backbone = part, model.backbone
        self.neck = model.neck if part != 'backbone' and model.with_neck else None
        heads = {'model': 'head', 'dense': 'rpn_head' if hasattr(model, 'rpn_head') else 'bbox_head'}
        self.head: Any = getattr(model, heads[part]) if part in heads else None
        self.eval().requires_grad_(False)

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """The tensors by name, in the order of :meth:`forward`."""
        features: Any = self.backbone(images)
        if self.part == 'backbone':
            numbers = getattr(self.backbone, 'out_indices', range(len(features)))
            return {f'stage_{i}': stage for i, stage in zip(numbers, features, strict=True)}
        if self.neck is not None:
            features = self.neck(features)
        if self.part == 'model':
            return {'logits': self.head(features)}
        groups = {'feature': features}
        if self.part == 'dense':
            groups |= zip(('cls', 'bbox', 'third'), self.head(features), strict=False)
        return {f'{name}_{i}': level for name, levels in groups.items() for i, level in enumerate(levels)}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.outputs(images).values())

    @torch.inference_mode()
    def stride(self) -> int:
        """The greatest in it, in pixels: 32 in a backbone, 64 in Faster R-CNN's FPN, 128 in RetinaNet's."""
        outputs = self.outputs(torch.zeros(1, 3, 256, 256)).values()
        return max([STRIDE, *(256 // level.shape[-1] for level in outputs if level.dim() == 4)])


def load_part(cfg: Config, checkpoint: str, part: str) -> tuple[ExportedPart, dict[str, str]]:
    """A part of the config's model, and the metadata for its file: texts; lists and numbers as JSON.

    Args:
        cfg: From :func:`eca_mm.engine.load_config`.
        checkpoint: File of the weights; 'none' for random ones.
        part: One of ``PARTS``.

    Raises:
        UserError: If the config's network has no such part or it cannot leave the framework, and as
            :func:`~eca_mm.checkpoints.read_checkpoint` and :func:`~eca_mm.engine.model.model_of`.
    """
    if part not in PARTS:
        raise UserError(f'unknown part {part!r}: choose from {", ".join(PARTS)}')
    config = config_name(cfg.filename)
    if part == 'dense' and is_classifier(cfg):
        raise UserError(f'{config} is a classifier without a dense head: choose --part {", ".join(PARTS[:3])}')
    if part == 'model' and not is_classifier(cfg):
        raise UserError(f'{config} is a detector: part detector exports the whole of it')
    random = checkpoint == 'none'
    model = model_of(cfg, None if random else read_checkpoint(checkpoint), checkpoint)
    network = ExportedPart(model, part)
    if part == 'dense' and not hasattr(network.head, 'prior_generator'):
        raise UserError(f'{config} has no dense head with anchors or points: choose --part features or backbone')
    if random:
        calibrate_batch_norm(network)
    pixels = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    numbers: list[Any] = [getattr(m, 'num_classes', None) for m in model.modules()]
    facts = {
        'mean': pixels.get('mean'),
        'std': pixels.get('std'),
        'kernel_size': kernel_sizes(network.backbone.state_dict()) or None,
        'classes': max((n for n in numbers if isinstance(n, int)), default=None),  # the RPN's is 1
    }
    return network, {
        'config': config,
        'part': part,
        'input': 'images (N, 3, H, W), float32, (pixel - mean) / std',
        'channels': 'RGB' if pixels.get('to_rgb') or pixels.get('bgr_to_rgb') or is_rgb(cfg) else 'BGR',
        **{name: json.dumps(value) for name, value in facts.items() if value is not None},
        'producer': f'eca_mm {__version__}, torch {torch.__version__}',
        'weights': 'random' if random else Path(checkpoint).name,
    }


def random_images(shape: tuple[int, ...]) -> Tensor:
    """Normally distributed numbers, the same ones each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def calibrate_batch_norm(network: nn.Module) -> None:
    """Give the batch norms the statistics of random images.

    With those of a new layer hardly a signal reaches the end of a network, and any two networks would agree.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train().momentum = 1.0
    with torch.no_grad():
        network(random_images((4, 3, 128, 128)))
    network.eval()
