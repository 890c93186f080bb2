"""Weights of other libraries for the networks here, and back.

Imports what takes seconds only where it is used, so that a tool can offer the names at once.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eca_mm.convert.checkpoint import Converted, convert_checkpoint

__all__ = ['SOURCES', 'TARGETS', 'Converted', 'convert_checkpoint']

SOURCES = ('mmdet1', 'mmdet', 'mmpretrain', 'authors', 'timm', 'torchvision', 'backbone')
TARGETS = ('mmpretrain', 'timm', 'torchvision', 'backbone')


def __getattr__(name: str) -> Any:
    if name not in ('Converted', 'convert_checkpoint'):
        raise AttributeError(f'module {__name__} has no attribute {name}')
    from eca_mm.convert import checkpoint

    return getattr(checkpoint, name)
