"""Weights of other libraries for the networks here, and back."""

from eca_mm.convert.checkpoint import SOURCES, TARGETS, Converted, convert_checkpoint

__all__ = ['SOURCES', 'TARGETS', 'Converted', 'convert_checkpoint']
