"""ResNeXt."""

from typing import Any

from eca_mm.checkpoints.families.base import Tensors, size_of
from eca_mm.checkpoints.families.resnet import ResNet
from eca_mm.checkpoints.tables import RESNETS


class ResNeXt(ResNet):
    """A ResNet whose 3x3 convolutions have groups: by their shapes, as all keys are a ResNet's."""

    name = 'ResNeXt'
    depths = {depth: blocks for depth, blocks in RESNETS.items() if blocks[0] == 3}

    def recognises(self, weights: Tensors) -> bool:
        inputs = [size_of(weights, f'backbone.layer1.0.conv{i}.weight', dim, 0) for i, dim in ((1, 0), (2, 1))]
        return 0 < inputs[1] < inputs[0]

    def widths(self, backbone: Tensors) -> dict[str, Any]:
        width = size_of(backbone, 'layer1.0.conv2.weight', 1, 4)
        found = dict(groups=size_of(backbone, 'layer1.0.conv2.weight', 0, 128) // width, width_per_group=width)
        return {key: value for key, value in found.items() if value != dict(groups=32, width_per_group=4)[key]}
