from eca_mm.models.attention import ECALayer, ECANSLayer, SELayer, eca_kernel_size
from eca_mm.models.backbones import AttentionResNet, ECAResNet

__all__ = ['AttentionResNet', 'ECALayer', 'ECANSLayer', 'ECAResNet', 'SELayer', 'eca_kernel_size']
