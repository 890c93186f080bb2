"""The layers, which do without mmpretrain, and the backbones, which need it."""

import warnings

from eca_mm.models.attention import (
    ChannelAttention,
    ECALayer,
    ECANSLayer,
    SEGCLayer,
    SELayer,
    SEVar1Layer,
    eca_kernel_size,
)

__all__ = ['ChannelAttention', 'ECALayer', 'ECANSLayer', 'SEGCLayer', 'SELayer', 'SEVar1Layer', 'eca_kernel_size']

try:
    import mmpretrain  # noqa: F401
except ImportError as error:  # mmengine would swallow it, and say that `eca_mm.ECALayer` does not exist
    warnings.warn(f'eca_mm has its layers, but no backbones: mmpretrain does not import ({error})', stacklevel=2)
else:
    from eca_mm.models.backbones import AttentionMobileNetV2, AttentionResNet, ECAMobileNetV2, ECAResNet

    __all__ += ['AttentionMobileNetV2', 'AttentionResNet', 'ECAMobileNetV2', 'ECAResNet']
