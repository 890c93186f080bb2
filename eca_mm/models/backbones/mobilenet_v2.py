"""MobileNetV2 with an attention slot in every bottleneck."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from mmpretrain.models.backbones.mobilenet_v2 import InvertedResidual, MobileNetV2
from torch import Tensor, nn

from eca_mm.checkpoints.attention import Attention, per_stage
from eca_mm.models.backbones.base import AttentionBlock, Backbone
from eca_mm.models.backbones.options import check_fused


class AttentionInvertedResidual(AttentionBlock, InvertedResidual):
    """A bottleneck ``x + attention(conv(x))``, without the sum where the shape changes.

    The layer is registered in ``conv``, hence the keys of checkpoints: ``layer3.1.conv.eca.conv.weight``.
    """

    def __init__(self, *args: Any, attention: Attention = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.out_channels = self.conv[-1].out_channels
        self.num_convs = len(self.conv)
        self.fill_slot(attention, 'conv')

    def residual(self, x: Tensor) -> Tensor:
        *first, last = list(self.conv)[: self.num_convs]
        z = x
        for conv in first:
            z = conv(z)
        return self.end(z, last, None, x if self.use_res_connect else None)


@MODELS.register_module(force=True)  # in place of its builder in eca_mm.models
class AttentionMobileNetV2(Backbone, MobileNetV2):
    """mmpretrain's MobileNetV2 with one attention layer in every bottleneck, after the linear projection's norm and
    before the sum, where there is one (the paper's "Comparisons using MobileNetV2").

    Takes images (N, 3, H, W) and returns a tuple of features, one per entry of ``out_indices``: stages 0 to 6 with 16, 24,
    32, 64, 96, 160 and 320 channels, and 7, the last convolution, with 1280.

    Args:
        attention: Config of the layer, e.g. ``dict(type='SELayer', ratio=8)``, built with ``in_channels`` of the block's
            output; None for a plain MobileNetV2; or a sequence of these, one per stage (seven).
        kwargs: ``fused``, and arguments of ``mmpretrain.MobileNetV2``: widen_factor, out_indices, frozen_stages, norm_eval,
            with_cp, init_cfg, ... What :class:`AttentionResNet` says of ``fused`` and the last two holds here too.

    Raises:
        UserError: For an attention that is not registered, or a sequence of attentions that has not one entry per stage.
        ValueError: For a stage in ``out_indices`` or ``frozen_stages`` that does not exist.
    """

    in_channels: int

    def __init__(self, attention: Attention | Sequence[Attention] = None, fused: bool = True, **kwargs: Any) -> None:
        check_fused(fused)
        self.fused = fused
        self.attention = per_stage('attention', attention, len(self.arch_settings))
        self.stage = 0
        super().__init__(**kwargs)
        # frozen_stages counts from here on, as DistributedDataParallel needs it; in mmpretrain's only from train() on.
        self.train()

    def make_layer(self, out_channels: int, num_blocks: int, stride: int, expand_ratio: int) -> nn.Sequential:
        """One stage, as mmpretrain builds it, of our blocks."""
        options = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg, with_cp=self.with_cp)
        attention = self.attention[self.stage]
        self.stage += 1  # mmpretrain builds the stages in order
        layers = []
        for step in (stride, *[1] * (num_blocks - 1)):
            block = AttentionInvertedResidual(
                self.in_channels, out_channels, step, expand_ratio, attention=attention, **options
            )
            block.fused = self.fused
            layers.append(block)
            self.in_channels = out_channels
        return nn.Sequential(*layers)


@MODELS.register_module(force=True)  # in place of its builder in eca_mm.models
class ECAMobileNetV2(AttentionMobileNetV2):
    """ECA-Net on MobileNetV2: :class:`~eca_mm.models.attention.ECALayer` in every bottleneck.

    Args:
        kernel_size: None for Eq. 9 on the bottleneck's output channels (3 up to 96 channels, then 5), an odd int, or one
            entry per stage; the authors' weights have 1 below 96 channels and 3 from there: (1, 1, 1, 1, 3, 3, 3).
        kwargs: As for :class:`AttentionMobileNetV2`, without ``attention``.

    Raises:
        UserError: For an even or non-positive kernel size, or a sequence that has not one entry per stage.
    """

    def __init__(self, kernel_size: int | None | Sequence[int | None] = None, **kwargs: Any) -> None:
        sizes = per_stage('kernel_size', kernel_size, len(self.arch_settings))
        super().__init__([dict(type='eca_mm.ECALayer', kernel_size=k) for k in sizes], **kwargs)
