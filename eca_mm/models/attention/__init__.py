from eca_mm.models.attention.eca import ECALayer, ECANSLayer, eca_kernel_size
from eca_mm.models.attention.se import SEGCLayer, SELayer, SEVar1Layer

__all__ = ['ECALayer', 'ECANSLayer', 'SEGCLayer', 'SELayer', 'SEVar1Layer', 'eca_kernel_size']
