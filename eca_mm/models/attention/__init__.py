from eca_mm.models.attention.eca import ECALayer, ECANSLayer, eca_kernel_size
from eca_mm.models.attention.se import SELayer

__all__ = ['ECALayer', 'ECANSLayer', 'SELayer', 'eca_kernel_size']
