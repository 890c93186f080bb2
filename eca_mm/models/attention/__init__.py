from eca_mm.models.attention.aa_conv import AAConv2d
from eca_mm.models.attention.base import ChannelAttention
from eca_mm.models.attention.cbam import CBAMLayer, SpatialAttentionLayer
from eca_mm.models.attention.coordinate import CoordinateAttentionLayer
from eca_mm.models.attention.double_attention import DoubleAttentionLayer
from eca_mm.models.attention.eca import ECALayer, ECANSLayer, eca_kernel_size
from eca_mm.models.attention.eca_spatial import ECASpatialLayer
from eca_mm.models.attention.gc import GCLayer
from eca_mm.models.attention.gsop import GSoPLayer
from eca_mm.models.attention.se import SEGCLayer, SELayer, SEVar1Layer
from eca_mm.models.attention.simam import SimAMLayer

__all__ = [
    'AAConv2d', 'CBAMLayer', 'ChannelAttention', 'CoordinateAttentionLayer', 'DoubleAttentionLayer', 'ECALayer',
    'ECANSLayer', 'ECASpatialLayer', 'GCLayer', 'GSoPLayer', 'SEGCLayer', 'SELayer', 'SEVar1Layer', 'SimAMLayer',
    'SpatialAttentionLayer', 'eca_kernel_size',
]  # fmt: skip
