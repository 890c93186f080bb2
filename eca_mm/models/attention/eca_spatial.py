"""ECA with spatial attention, which the paper's conclusion announces as future work."""

from torch import Tensor, nn

from eca_mm.models.attention.cbam import SpatialAttentionLayer
from eca_mm.models.attention.eca import ECALayer
from eca_mm.registry import MODELS


@MODELS.register_module()
class ECASpatialLayer(nn.Module):
    """:class:`ECALayer`, then the spatial half of CBAM in :class:`SpatialAttentionLayer`; k + 2 s^2 + 2 weights.

    Takes features (N, C, H, W) and returns features of the same shape. ECA's weights are under ``eca``: those of a block
    with ECA alone fit there. The order is CBAM's.

    Args:
        in_channels: Number of channels C.
        kernel_size: Odd k of ECA, or None for Eq. 9.
        spatial_kernel_size: Odd s.

    Raises:
        UserError: If ``in_channels`` is not a positive integer, or a kernel size not a positive odd one.
    """

    _abbr_ = 'eca_spatial'

    def __init__(self, in_channels: int, kernel_size: int | None = None, spatial_kernel_size: int = 7) -> None:
        super().__init__()
        self.eca = ECALayer(in_channels, kernel_size)
        self.spatial = SpatialAttentionLayer(in_channels, spatial_kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.eca(x))
