"""ResNeXts with an attention slot in every block."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from mmpretrain.models.backbones import resnext
from torch import nn

from eca_mm.models.backbones.common import Attention
from eca_mm.models.backbones.resnet import AttentionBottleneck, AttentionResNet


class AttentionResNeXtBottleneck(AttentionBottleneck, resnext.Bottleneck):
    """A bottleneck with grouped 3x3 convolutions."""


@MODELS.register_module(force=True)  # over the function of eca_mm.models
class AttentionResNeXt(AttentionResNet):
    """mmpretrain's ResNeXt with one attention layer in every block, as :class:`AttentionResNet`.

    Args:
        depth: 50, 101 or 152.
        attention: As for :class:`AttentionResNet`.
        groups: Groups of the 3x3 convolutions.
        width_per_group: Their channels per group in the first stage; 32 groups of 4 are ResNeXt's 32x4d.
        kwargs: As for :class:`AttentionResNet`.

    Raises:
        UserError: As :class:`AttentionResNet`.
    """

    arch_settings: Any = {
        depth: (AttentionResNeXtBottleneck, b) for depth, (_, b) in resnext.ResNeXt.arch_settings.items()
    }

    def __init__(
        self,
        depth: int,
        attention: Attention | Sequence[Attention] = None,
        groups: int = 32,
        width_per_group: int = 4,
        **kwargs: Any,
    ) -> None:
        self.widths = dict(groups=groups, width_per_group=width_per_group)
        super().__init__(depth, attention, **kwargs)

    def make_res_layer(self, **kwargs: Any) -> nn.Module:
        return super().make_res_layer(**self.widths, base_channels=self.base_channels, **kwargs)
