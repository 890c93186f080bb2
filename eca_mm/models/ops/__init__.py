"""Fast paths through the end of a residual block, beside the layers that they must equal (docs/speed.md)."""

from eca_mm.models.ops.coefficients import Coefficients
from eca_mm.models.ops.conditions import commutes, usable
from eca_mm.models.ops.conv_tail import conv_tail
from eca_mm.models.ops.norm_tail import norm_tail

__all__ = ['Coefficients', 'commutes', 'conv_tail', 'norm_tail', 'usable']
