"""The global context block: Cao et al., "GCNet", ICCVW 2019 (arXiv:1904.11492)."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from eca_mm.libraries import missing_base
from eca_mm.models.attention.base import positive_int
from eca_mm.models.attention.se import _divisor
from eca_mm.registry import MODELS

if TYPE_CHECKING or find_spec('mmcv') is not None:
    from mmcv.cnn import ContextBlock
else:
    ContextBlock = missing_base('mmcv', 'GCLayer')


@MODELS.register_module()
class GCLayer(ContextBlock):
    """The GC block, mmcv's: ``X + W2 ReLU(LN(W1 (X softmax_hw(w X)^T)))`` (its Eq. 5), 2 C^2 / r + 2 C + 3 C / r + 1 weights.

    One softmax along the positions, (N, 1, HW), pools the features to (N, C); what becomes of them is added at every
    position. Takes features (N, C, H, W) and returns features of the same shape. W2 starts at zero. mmcv's own name, with the
    ratio inverted, is ``dict(type='ContextBlock', ratio=1 / 16)``; the keys in a block differ by its name there.

    Args:
        in_channels: Number of channels C.
        ratio: Reduction r.
        kwargs: ``pooling_type`` and ``fusion_types`` of ``mmcv.cnn.ContextBlock``.

    Raises:
        UserError: If ``in_channels`` is not a positive integer, or ``ratio`` does not divide it.
    """

    _abbr_ = 'gc'

    def __init__(self, in_channels: int, ratio: int = 16, **kwargs: object) -> None:
        in_channels = positive_int('in_channels', in_channels)
        hidden = in_channels // _divisor('ratio', ratio, in_channels)
        super().__init__(in_channels, (hidden + 0.5) / in_channels, **kwargs)  # mmcv truncates the product with C
