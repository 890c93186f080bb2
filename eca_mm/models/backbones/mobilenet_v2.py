"""MobileNetV2 with an attention slot in every bottleneck."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from mmpretrain.models.backbones.mobilenet_v2 import MobileNetV2

from eca_mm.models.backbones.common import Attention, StrictBackbone, build_attention, per_stage


@MODELS.register_module()
class AttentionMobileNetV2(StrictBackbone, MobileNetV2):
    """mmpretrain's MobileNetV2 with one attention layer in every bottleneck, after the linear projection's norm and
    before the sum, where there is one (the paper's "Comparisons using MobileNetV2").

    Takes images (N, 3, H, W) and returns a tuple of features, one per entry of ``out_indices``: stages 0 to 6 with 16, 24,
    32, 64, 96, 160 and 320 channels, and 7, the last convolution, with 1280.

    Args:
        attention: Config of the layer, e.g. ``dict(type='SELayer', ratio=8)``, built with ``in_channels`` of the block's
            output; None for a plain MobileNetV2; or a sequence of these, one per stage (seven).
        kwargs: Arguments of ``mmpretrain.MobileNetV2``: widen_factor, out_indices, frozen_stages, norm_eval, with_cp,
            init_cfg, ... What :class:`AttentionResNet` says of the last two holds here too.

    Raises:
        ValueError: For an attention that is not registered, a sequence of attentions that has not one entry per stage,
            or a stage that there is not.
    """

    arch_settings: list[list[int]]

    def __init__(self, attention: Attention | Sequence[Attention] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for i, cfg in enumerate(per_stage('attention', attention, len(self.arch_settings))):
            for block in getattr(self, f'layer{i + 1}') if cfg is not None else ():
                block.conv.add_module(*build_attention(cfg, _out_channels(block)))


@MODELS.register_module()
class ECAMobileNetV2(AttentionMobileNetV2):
    """ECA-Net on MobileNetV2: :class:`~eca_mm.models.attention.ECALayer` in every bottleneck.

    Args:
        kernel_size: None for Eq. 9 on the bottleneck's output channels (3 up to 96 channels, then 5), an odd int, or one
            entry per stage; the authors' weights have 1 below 96 channels and 3 from there: (1, 1, 1, 1, 3, 3, 3).
        kwargs: As for :class:`AttentionMobileNetV2`, without ``attention``.

    Raises:
        ValueError: For an even or non-positive kernel size, or a sequence that has not one entry per stage.
    """

    def __init__(self, kernel_size: int | None | Sequence[int | None] = None, **kwargs: Any) -> None:
        sizes = per_stage('kernel_size', kernel_size, len(self.arch_settings))
        super().__init__([dict(type='eca_mm.ECALayer', kernel_size=k) for k in sizes], **kwargs)


def _out_channels(block: Any) -> int:
    return list(block.conv)[-1].conv.out_channels
