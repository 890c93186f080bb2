"""Inception-v3."""

from typing import Any

from eca_mm.checkpoints.families.base import Family, Tensors, size_of
from eca_mm.errors import UserError


class InceptionV3(Family):
    """A classifier by itself, as mmpretrain has it: ``fc`` and ``AuxLogits`` are parts of the backbone."""

    name = 'InceptionV3'
    by_channels = True
    block = r'(Mixed_\d)([a-e])\.(.+)'

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        if counts != (3, 5, 3):
            raise UserError(f'stages of {counts} modules are no Inception-v3, which has (3, 5, 3)')
        classes = size_of(backbone, 'fc.bias', 0, 1000)
        auxiliary = any(key.startswith('AuxLogits.') for key in backbone)
        return (dict(num_classes=classes) if classes != 1000 else {}) | (dict(aux_logits=True) if auxiliary else {})

    def notes(self, source: str, named: bool) -> list[str]:
        """How the published weights are to be used: their library does it by itself."""
        published = (
            "torchvision's own weights, and timm's but gluon_in1k, are for images with mean=[127.5] * 3, std=[127.5] * 3 in the "
            'data_preprocessor'
        )
        return [published] if source in ('timm', 'torchvision') else []
