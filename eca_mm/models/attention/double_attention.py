"""Double attention: Chen et al., "A^2-Nets: Double Attention Networks", NeurIPS 2018 (arXiv:1810.11579)."""

from torch import Tensor, nn

from eca_mm.models.attention.base import positive_int
from eca_mm.models.attention.se import _divisor
from eca_mm.registry import MODELS


@MODELS.register_module()
class DoubleAttentionLayer(nn.Module):
    """Double attention, ``X + W_z (A softmax_hw(B)^T) softmax_m(V)`` (its Eq. 5), about 4 C^2 / r weights.

    ``A = W_a X``, ``B = W_b X`` and ``V = W_v X`` are (N, m, HW) with m = C / r. The first softmax, along the positions,
    gathers m descriptors of the whole image; the second, along the m, distributes them to every position. Takes features
    (N, C, H, W) and returns features of the same shape.

    Its authors put it behind residual blocks, after their sum (configs/imagenet/a2_resnet50.py). The last convolution
    starts at zero, so that a pretrained network starts as it was.

    Args:
        in_channels: Number of channels C.
        ratio: Reduction r.

    Raises:
        UserError: If ``in_channels`` is not a positive integer, or ``ratio`` does not divide it.
    """

    _abbr_ = 'a2'

    def __init__(self, in_channels: int, ratio: int = 2) -> None:
        super().__init__()
        in_channels = positive_int('in_channels', in_channels)
        hidden = in_channels // _divisor('ratio', ratio, in_channels)
        self.features = nn.Conv2d(in_channels, hidden, 1)
        self.gather = nn.Conv2d(in_channels, hidden, 1)
        self.distribute = nn.Conv2d(in_channels, hidden, 1)
        self.project = nn.Conv2d(hidden, in_channels, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        descriptors = self.features(x).flatten(2) @ self.gather(x).flatten(2).softmax(2).transpose(1, 2)  # (N, m, m)
        z = descriptors @ self.distribute(x).flatten(2).softmax(1)  # (N, m, HW)
        return x + self.project(z.unflatten(2, x.shape[2:]))
