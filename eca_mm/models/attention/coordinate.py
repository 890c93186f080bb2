"""Coordinate attention: Hou et al., "Coordinate Attention for Efficient Mobile Network Design", CVPR 2021 (arXiv:2103.02907)."""

import torch
from torch import Tensor, nn

from eca_mm.models.attention.base import positive_int
from eca_mm.registry import MODELS


@MODELS.register_module()
class CoordinateAttentionLayer(nn.Module):
    """Attention along rows and along columns: ``X * sigmoid(W_h f_h) * sigmoid(W_w f_w)`` (its Eq. 4-9).

    ``[f_h; f_w] = hardswish(BN(W_1 [mean_w X; mean_h X]))`` is (N, m, H + W), m = max(8, C / r); the weights are (N, C, H, 1)
    and (N, C, 1, W). 3 C m + 2 C + 3 m weights. Takes features (N, C, H, W) and returns features of the same shape.

    Args:
        in_channels: Number of channels C.
        ratio: Reduction r.

    Raises:
        UserError: If one is not a positive integer.
    """

    _abbr_ = 'coordinate'

    def __init__(self, in_channels: int, ratio: int = 32) -> None:
        super().__init__()
        in_channels = positive_int('in_channels', in_channels)
        hidden = max(8, in_channels // positive_int('ratio', ratio))
        self.conv1 = nn.Conv2d(in_channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.act = nn.Hardswish(inplace=True)
        self.conv_h = nn.Conv2d(hidden, in_channels, 1)
        self.conv_w = nn.Conv2d(hidden, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = torch.cat((x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)), 2)  # (N, C, H + W, 1)
        rows, columns = self.act(self.bn1(self.conv1(means))).split(x.shape[2:], 2)
        return x * self.conv_h(rows).sigmoid() * self.conv_w(columns.transpose(2, 3)).sigmoid()
