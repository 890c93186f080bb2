"""The end of a residual block, and its fast paths beside the layers that they must equal (docs/speed.md)."""

from eca_mm.models.ops.block_end import residual_end

__all__ = ['residual_end']
