"""MobileNetV2 here and in torchvision. timm's has no attention in its blocks."""

from collections.abc import Callable
from typing import Any

from eca_mm.checkpoints.keys import MOBILENET, MOBILENET_BLOCKS
from eca_mm.convert.families.base import Architecture, Family, Target, Tensors, listed, size_of
from eca_mm.convert.source_code import arguments
from eca_mm.errors import UserError
from eca_mm.models.backbones import AttentionMobileNetV2


class MobileNetV2(Family):
    name = 'MobileNetV2'
    block = r'layer(\d+)\.(\d+)\.(?:conv\.)?(.+)'
    config_defaults = dict(strides=(1, 2, 2, 2, 1, 2, 1), dilations=(1,) * 7)

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        if counts != MOBILENET_BLOCKS:
            raise UserError(
                f'stages of {listed(counts)} blocks are no MobileNetV2, which has {listed(MOBILENET_BLOCKS)}'
            )
        widest = AttentionMobileNetV2.arch_settings[-1][1]
        width = size_of(backbone, 'layer7.0.conv.2.conv.weight', 0, widest) / widest
        return {} if width == 1 else dict(widen_factor=width)

    def classifier_inputs(self, backbone: Any) -> int:
        return int(backbone.out_channel)

    @property
    def targets(self) -> dict[str, Callable[[Architecture], Target]]:
        return super().targets | dict(torchvision=self._torchvision)

    def _torchvision(self, network: Architecture) -> Target:
        classes = self.plain_classifier(network, 'torchvision')
        others = dict(network.arguments)
        values = dict(width_mult=others.pop('widen_factor', 1.0), num_classes=classes)
        self.refuse_others(others, 'torchvision')
        return Target(f'torchvision.models.mobilenet_v2({arguments(values)})', 'classifier.1.', pairs=MOBILENET)
