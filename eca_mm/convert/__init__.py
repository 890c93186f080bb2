"""Weights of other libraries for the networks here, and back."""

from eca_mm.checkpoints.keys import LAYOUTS
from eca_mm.convert.checkpoint import Converted, convert_checkpoint
from eca_mm.convert.families import FAMILIES

__all__ = ['SOURCES', 'TARGETS', 'Converted', 'convert_checkpoint']

SOURCES = ('mmdet1', *dict.fromkeys(layout.source for layout in LAYOUTS))
TARGETS = tuple(dict.fromkeys(target for family in FAMILIES for target in family.targets))
