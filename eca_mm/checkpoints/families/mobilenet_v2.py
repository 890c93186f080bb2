"""MobileNetV2."""

from collections.abc import Mapping
from typing import Any

from eca_mm.checkpoints.families.base import ConfigOnly, Family, Tensors, size_of
from eca_mm.checkpoints.tables import MOBILENET_BLOCKS
from eca_mm.errors import UserError


class MobileNetV2(Family):
    name = 'MobileNetV2'
    features = 'out_channel'
    block = r'(layer\d)\.(\d+)\.(?:conv\.)?(.+)'

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        if counts != MOBILENET_BLOCKS:
            raise UserError(f'stages of {counts} blocks are no MobileNetV2, which has {MOBILENET_BLOCKS}')
        widest = 320  # channels of the last stage
        width = size_of(backbone, 'layer7.0.conv.2.conv.weight', 0, widest) / widest
        return {} if width == 1 else dict(widen_factor=width)

    def config_only(self, told: Mapping[str, Any], config: Mapping[str, Any]) -> ConfigOnly:
        return dict(strides=((1, 2, 2, 2, 1, 2, 1), ()), dilations=((1,) * 7, ()))
