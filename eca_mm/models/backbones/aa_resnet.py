"""The ResNet of AA-Net."""

import math
from typing import Any

from mmengine.registry import MODELS
from torch import nn

from eca_mm.models.attention import AAConv2d
from eca_mm.models.backbones.resnet import AttentionResNet, Bottleneck


@MODELS.register_module()
class AAResNet(AttentionResNet):
    """:class:`AttentionResNet` whose 3x3 convolutions of the last three stages are attention-augmented, as in AA-Net.

    Args:
        depth: One of :class:`AttentionResNet` with bottlenecks: 50, 101 or 152 in AA-Net.
        augmentation: Arguments of :class:`~eca_mm.models.attention.AAConv2d`: heads, key_ratio, value_ratio.
        size: Of the images that it is trained for, in pixels. The numbers of relative positions follow from it.
        kwargs: As for :class:`AttentionResNet`.

    Raises:
        UserError: As both, and for another depth.
    """

    blocks = {3: Bottleneck}
    depths = {depth: blocks for depth, blocks in AttentionResNet.depths.items() if blocks[0] == 3}

    def __init__(self, depth: int, augmentation: dict[str, Any] | None = None, size: int = 224, **kwargs: Any) -> None:
        self.augmentation, self.size = augmentation or {}, size
        super().__init__(depth, **kwargs)

    def build_stage(self, i: int, *args: Any, **settings: Any) -> nn.Sequential:
        stage = super().build_stage(i, *args, **settings)
        size = self.size // 4 // math.prod(self.strides[: i + 1])
        for block in stage if i else ():
            conv: Any = block.conv2
            shape = conv.in_channels, conv.out_channels, 3, conv.stride[0]
            block.conv2 = AAConv2d(*shape, dilation=conv.dilation[0], **{'size': size, **self.augmentation})
        return stage
