"""Fast paths through the end of a residual block, beside the layers that they must equal (docs/speed.md)."""
