"""ResNeXt with an attention slot in every block."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS

from eca_mm.checkpoints.attention import Attention
from eca_mm.models.backbones.resnet import AttentionResNet, Bottleneck


@MODELS.register_module()
class AttentionResNeXt(AttentionResNet):
    """ResNeXt with one attention layer in every block, as :class:`AttentionResNet`.

    Args:
        depth: One of :class:`AttentionResNet` with bottlenecks: 26, 50, 101, 152, 200 or 269.
        attention: As for :class:`AttentionResNet`.
        groups: Groups of the 3x3 convolutions; with 1 it is a ResNet.
        width_per_group: Their channels per group in the first stage; 32 groups of 4 are ResNeXt's 32x4d.
        kwargs: As for :class:`AttentionResNet`.

    Raises:
        UserError: As :class:`AttentionResNet`.
    """

    blocks = {3: Bottleneck}
    depths = {depth: blocks for depth, blocks in AttentionResNet.depths.items() if blocks[0] == 3}

    def __init__(
        self,
        depth: int,
        attention: Attention | Sequence[Attention] = None,
        groups: int = 32,
        width_per_group: int = 4,
        **kwargs: Any,
    ) -> None:
        widths: dict[str, Any] = dict(groups=groups, width_per_group=width_per_group) if groups > 1 else {}
        super().__init__(depth, attention, **widths, **kwargs)
