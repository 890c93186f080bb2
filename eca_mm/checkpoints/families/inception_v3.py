"""Inception-v3."""

from typing import Any

from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.attention import arguments
from eca_mm.checkpoints.family import Family, Tensors, size_of
from eca_mm.checkpoints.layout import Layout, Target
from eca_mm.errors import UserError

_PATTERN = r'Mixed_5b\.branch1x1\.conv\.weight'


def _to_timm(network: Architecture) -> Target:
    values = _arguments_elsewhere(network, 'timm')
    return Target(f"timm.create_model('inception_v3', {arguments(values)})", None)


def _to_torchvision(network: Architecture) -> Target:
    values = _arguments_elsewhere(network, 'torchvision') | dict(init_weights=False)
    return Target(f'torchvision.models.inception_v3({arguments(values)})', None)


def _arguments_elsewhere(network: Architecture, library: str) -> dict[str, Any]:
    others = dict(network.arguments)
    values = dict(num_classes=others.pop('num_classes', 1000), aux_logits=others.pop('aux_logits', False))
    network.check_plain(library, others)
    return values


class InceptionV3(Family):
    """A classifier by itself, as in mmpretrain: ``fc`` and ``AuxLogits`` are parts of the backbone."""

    name = 'InceptionV3'
    pattern = _PATTERN
    block = r'(Mixed_\d)([a-e])\.(.+)'
    by_channels = True
    layouts = (Layout('torchvision', (_PATTERN,)), Layout('timm', (_PATTERN,), recognised=False))
    targets = dict(timm=_to_timm, torchvision=_to_torchvision)
    classifier_config = 'mmpretrain::inception_v3/inception-v3_8xb32_in1k.py'

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        if counts != (3, 5, 3):
            raise UserError(f'stages of {counts} modules are no Inception-v3, which has (3, 5, 3)')
        classes = size_of(backbone, 'fc.bias', 0, 1000)
        auxiliary = any(key.startswith('AuxLogits.') for key in backbone)
        return (dict(num_classes=classes) if classes != 1000 else {}) | (dict(aux_logits=True) if auxiliary else {})

    def notes(self, source: str, named: bool) -> list[str]:
        """Name the normalisation of the published weights, which their library applies inside the network."""
        published = (
            "torchvision's own weights, and timm's but gluon_in1k, are for images with mean=[127.5] * 3, std=[127.5] * 3 in the "
            'data_preprocessor'
        )
        return [published] if source in ('timm', 'torchvision') else []


FAMILIES = (InceptionV3(),)
