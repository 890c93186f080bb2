"""MobileNetV2 here and in torchvision. timm's has no attention in its blocks."""

from collections.abc import Callable, Mapping
from typing import Any

from eca_mm.checkpoints.keys import MOBILENET, MOBILENET_BLOCKS
from eca_mm.convert.attention import arguments
from eca_mm.convert.families.base import Architecture, ConfigOnly, Family, Target, Tensors, size_of
from eca_mm.errors import UserError
from eca_mm.models.backbones import AttentionMobileNetV2


class MobileNetV2(Family):
    name = 'MobileNetV2'
    features = 'out_channel'
    block = r'layer(\d+)\.(\d+)\.(?:conv\.)?(.+)'

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        if counts != MOBILENET_BLOCKS:
            raise UserError(f'stages of {counts} blocks are no MobileNetV2, which has {MOBILENET_BLOCKS}')
        widest = AttentionMobileNetV2.arch_settings[-1][1]
        width = size_of(backbone, 'layer7.0.conv.2.conv.weight', 0, widest) / widest
        return {} if width == 1 else dict(widen_factor=width)

    def config_only(self, told: Mapping[str, Any], config: Mapping[str, Any]) -> ConfigOnly:
        return dict(strides=((1, 2, 2, 2, 1, 2, 1), ()), dilations=((1,) * 7, ()))

    @property
    def targets(self) -> dict[str, Callable[[Architecture], Target]]:
        return super().targets | dict(torchvision=_torchvision)


def _torchvision(network: Architecture) -> Target:
    others = dict(network.arguments)
    width = others.pop('widen_factor', 1.0)
    values = dict(width_mult=width, num_classes=network.plain_classifier('torchvision', others))
    return Target(f'torchvision.models.mobilenet_v2({arguments(values)})', 'classifier.1.', pairs=MOBILENET)
