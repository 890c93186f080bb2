"""The ResNet of AA-Net."""

import math
from typing import Any

from mmengine.registry import MODELS

from eca_mm.errors import UserError
from eca_mm.models.attention import AAConv2d
from eca_mm.models.backbones.resnet import AttentionResNet


@MODELS.register_module(force=True)  # over the function of eca_mm.models
class AAResNet(AttentionResNet):
    """:class:`AttentionResNet` whose 3x3 convolutions of the last three stages are attention-augmented, as in AA-Net.

    Args:
        depth: 50, 101 or 152.
        augmentation: Arguments of :class:`~eca_mm.models.attention.AAConv2d`: heads, key_ratio, value_ratio.
        size: Of the images that it is trained for, in pixels; the distances of its positions come from it.
        kwargs: As for :class:`AttentionResNet`.

    Raises:
        UserError: As both, and for another depth.
    """

    def __init__(self, depth: int, augmentation: dict[str, Any] | None = None, size: int = 224, **kwargs: Any) -> None:
        if depth not in (50, 101, 152):
            raise UserError(f'depth must be 50, 101 or 152, got {depth!r}')
        super().__init__(depth, **kwargs)
        for stage, name in enumerate(self.res_layers[1:], 1):
            for block in self.get_submodule(name).children():
                conv: Any = block.conv2
                options = {'size': size // 4 // math.prod(self.strides[: stage + 1]), **(augmentation or {})}
                shape = conv.in_channels, conv.out_channels, 3, conv.stride[0]
                block.conv2 = AAConv2d(*shape, dilation=conv.dilation[0], **options)
        self.train()  # frozen_stages counts for what came after the constructor of mmpretrain's too
