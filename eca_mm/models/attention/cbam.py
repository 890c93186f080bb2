"""CBAM: Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018 (arXiv:1807.06521)."""

import torch
from torch import Tensor, nn

from eca_mm.models.attention.base import positive_int
from eca_mm.models.attention.se import _divisor
from eca_mm.registry import MODELS


@MODELS.register_module()
class SpatialAttentionLayer(nn.Module):
    """The spatial half of CBAM (its Eq. 3): ``X * sigmoid(BN(C2D_k([mean_c X; max_c X])))``, 2 k^2 + 2 weights.

    Takes features (N, C, H, W) and returns features of the same shape; the weights are (N, 1, H, W), shared by the channels.
    The normalisation, with its momentum, is that of the authors' code.

    Args:
        in_channels: Number of channels C, on which nothing depends.
        kernel_size: Odd k.

    Raises:
        UserError: If ``kernel_size`` is not a positive odd integer.
    """

    _abbr_ = 'spatial'

    def __init__(self, in_channels: int, kernel_size: int = 7) -> None:
        super().__init__()
        k = positive_int('kernel_size', kernel_size, 'a positive odd integer', lambda k: k % 2 == 1)
        self.conv = nn.Conv2d(2, 1, k, padding=k // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return x * self.norm(self.conv(y)).sigmoid()


@MODELS.register_module()
class CBAMLayer(nn.Module):
    """CBAM: channel attention from means and maxima, then spatial attention; 2 C^2 / r + 2 k^2 + 2 weights.

    ``X' = X * sigmoid(F(mean_hw X) + F(max_hw X))`` with ``F(y) = W2 ReLU(W1 y)`` shared by both (its Eq. 2), then
    :class:`SpatialAttentionLayer`. Takes features (N, C, H, W) and returns features of the same shape. Its place is SE's:
    after the block's last norm, before the residual sum.

    Args:
        in_channels: Number of channels C.
        ratio: Reduction r of the hidden layer.
        bias: Biases in both layers of F. Without them CBAM-ResNet-50 has the 26.77M parameters of Table 2.
        kernel_size: Odd k of the spatial half.

    Raises:
        UserError: If ``in_channels`` is not a positive integer, ``ratio`` does not divide it, or ``kernel_size`` is not odd.
    """

    _abbr_ = 'cbam'

    def __init__(self, in_channels: int, ratio: int = 16, bias: bool = False, kernel_size: int = 7) -> None:
        super().__init__()
        in_channels = positive_int('in_channels', in_channels)
        hidden = in_channels // _divisor('ratio', ratio, in_channels)
        self.fc1 = nn.Linear(in_channels, hidden, bias=bias)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden, in_channels, bias=bias)
        self.spatial = SpatialAttentionLayer(in_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        mean, largest = (self.fc2(self.relu(self.fc1(y))) for y in (x.mean((2, 3)), x.amax((2, 3))))
        return self.spatial(x * (mean + largest).sigmoid()[:, :, None, None])
