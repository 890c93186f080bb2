from eca_mm.models.attention.base import ChannelAttention
from eca_mm.models.attention.eca import ECALayer, ECANSLayer, eca_kernel_size
from eca_mm.models.attention.se import SEGCLayer, SELayer, SEVar1Layer

__all__ = ['ChannelAttention', 'ECALayer', 'ECANSLayer', 'SEGCLayer', 'SELayer', 'SEVar1Layer', 'eca_kernel_size']
