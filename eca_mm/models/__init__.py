from eca_mm.models.attention import ECALayer, ECANSLayer, SEGCLayer, SELayer, SEVar1Layer, eca_kernel_size
from eca_mm.models.backbones import AttentionMobileNetV2, AttentionResNet, ECAMobileNetV2, ECAResNet

__all__ = [
    'AttentionMobileNetV2',
    'AttentionResNet',
    'ECALayer',
    'ECAMobileNetV2',
    'ECANSLayer',
    'ECAResNet',
    'SEGCLayer',
    'SELayer',
    'SEVar1Layer',
    'eca_kernel_size',
]
