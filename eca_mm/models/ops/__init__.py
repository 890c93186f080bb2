"""Fast paths through the end of a residual block, beside the layers that they must equal (docs/speed.md)."""

from eca_mm.models.ops.coefficients import Coefficients, Folded
from eca_mm.models.ops.conditions import commutes, fits, gates, hooked, pointwise, usable
from eca_mm.models.ops.conv_tail import conv_tail
from eca_mm.models.ops.norm_tail import norm_tail

__all__ = [
    'Coefficients',
    'Folded',
    'commutes',
    'conv_tail',
    'fits',
    'gates',
    'hooked',
    'norm_tail',
    'pointwise',
    'usable',
]
