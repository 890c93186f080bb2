"""ResNet with norms before its convolutions."""

from eca_mm.checkpoints.families.base import Tensors
from eca_mm.checkpoints.families.resnet import ResNet
from eca_mm.checkpoints.tables import PREACT_RESNETS


class PreActResNet(ResNet):
    """Of this package alone: no other library that is known here has weights of the same network."""

    name = 'PreActResNet'
    depths = {depth: (3, blocks) for depth, blocks in PREACT_RESNETS.items()}
    avg_down = 'layer2.0.downsample.1.weight'

    def recognises(self, weights: Tensors) -> bool:
        return 'backbone.layer4.norm.weight' in weights
