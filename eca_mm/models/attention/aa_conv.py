"""Attention-augmented convolution: Bello et al., "Attention Augmented Convolutional Networks", ICCV 2019 (arXiv:1904.09925)."""

import torch
import torch.fx
from torch import Tensor, nn

from eca_mm.errors import UserError
from eca_mm.models.attention.base import positive_int
from eca_mm.registry import MODELS


@MODELS.register_module()
class AAConv2d(nn.Module):
    """A convolution beside multi-head self-attention with relative positions: ``[C2D(X); W_o MHA(X)]`` (its Eq. 4).

    A head's output is ``softmax((Q K^T + S_h + S_w) / sqrt(d)) V`` with ``S_h = Q r_(y' - y)`` and ``S_w = Q r_(x' - x)``
    (Eq. 3): vectors r of the distances in rows and in columns, learned, shared by the heads. Takes features
    (N, C, H, W) and returns (N, C', H / stride, W / stride); with the defaults it keeps the shape. With a stride, attention
    sees its input averaged over 3 x 3 positions. It takes memory (HW)^2 per head.

    Of C' channels ``value_ratio`` comes from attention (d_v), and ``key_ratio`` of C' is the number of channels of the
    queries and of the keys (d_k): rounded down to a multiple of the heads, and not below 20 per head of the keys. So rounded,
    AA-ResNet-50 and AA-ResNet-101 have the 25.8M and 45.4M parameters of its paper.

    Args:
        in_channels: Number of channels C.
        out_channels: C'; None for C.
        kernel_size: Odd size of the convolution.
        stride: Of both.
        heads: Number of heads.
        key_ratio: Queries and keys per channel of the output.
        value_ratio: Values per channel of the output.
        size: Height and width of the largest attended features whose distances have vectors of their own: 2 size - 1 for
            rows and as many for columns. Farther ones take that of the largest distance.
        dilation: Of the convolution.

    Raises:
        UserError: If a number is not a positive integer, the kernel size is not odd, or there are fewer attended channels than
            heads.
    """

    _abbr_ = 'aa'

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        kernel_size: int = 3,
        stride: int = 1,
        heads: int = 8,
        key_ratio: float = 0.2,
        value_ratio: float = 0.1,
        size: int = 28,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        in_channels, heads = positive_int('in_channels', in_channels), positive_int('heads', heads)
        stride, size = positive_int('stride', stride), positive_int('size', size)
        dilation = positive_int('dilation', dilation)
        out_channels = in_channels if out_channels is None else positive_int('out_channels', out_channels)
        kernel_size = positive_int('kernel_size', kernel_size, 'a positive odd integer', lambda k: k % 2 == 1)
        keys = max(20, int(key_ratio * out_channels) // heads)  # per head
        values = int(value_ratio * out_channels) // heads
        if not 0 < values * heads <= out_channels:
            raise UserError(
                f'value_ratio={value_ratio!r} of {out_channels} channels gives {heads} heads {values} channels each: choose '
                'fewer heads, or another ratio'
            )
        self.heads, self.sizes = heads, (keys * heads, keys * heads, values * heads)
        convolved = out_channels - values * heads
        padding = kernel_size // 2 * dilation
        self.conv = nn.Conv2d(in_channels, convolved, kernel_size, stride, padding, dilation, bias=False)
        self.pool = nn.Identity() if stride == 1 else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        self.qkv = nn.Conv2d(in_channels, sum(self.sizes), 1)
        self.project = nn.Conv2d(values * heads, values * heads, 1)
        self.row_distances = nn.Parameter(torch.empty(2 * size - 1, keys))
        self.column_distances = nn.Parameter(torch.empty(2 * size - 1, keys))
        for vectors in (self.row_distances, self.column_distances):
            nn.init.normal_(vectors, std=keys**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.conv(x), self.project(self.attend(self.pool(x)))), 1)

    def attend(self, x: Tensor) -> Tensor:
        """The heads' outputs side by side, (N, d_v, H, W)."""
        height, width = x.shape[2:]
        q, k, v = self.qkv(x).split(self.sizes, 1)
        q, k, v = self._by_head(q), self._by_head(k), self._by_head(v)  # (N, heads, d, H, W)
        q = q * (self.sizes[0] // self.heads) ** -0.5
        logits = torch.einsum('nhdyx,nhdYX->nhyxYX', q, k)
        rows = torch.einsum('nhdyx,yYd->nhyxY', q, _by_distance(self.row_distances, height))
        columns = torch.einsum('nhdyx,xXd->nhyxX', q, _by_distance(self.column_distances, width))
        attention = (
            (logits + rows[..., None] + columns[..., None, :]).flatten(4).softmax(4).unflatten(4, (height, width))
        )
        return torch.einsum('nhyxYX,nhdYX->nhdyx', attention, v).flatten(1, 2)

    def _by_head(self, y: Tensor) -> Tensor:
        return y.unflatten(1, (self.heads, -1))


@torch.fx.wrap  # torch.fx knows no sizes
def _by_distance(vectors: Tensor, size: int) -> Tensor:
    """Return (size, size, d): at (i, j) the vector of the distance j - i."""
    largest = len(vectors) // 2
    place = torch.arange(size, device=vectors.device)
    return vectors[(place[None] - place[:, None]).clamp(-largest, largest) + largest]
