"""GSoP: Gao et al., "Global Second-order Pooling Convolutional Networks", CVPR 2019 (arXiv:1811.12006)."""

from torch import Tensor, nn

from eca_mm.models.attention.base import positive_int
from eca_mm.registry import MODELS


@MODELS.register_module()
class GSoPLayer(nn.Module):
    """Channel attention from covariances: ``X * sigmoid(W2 R(BN(cov(ReLU(BN(W1 ReLU(X)))))))``, as in the authors' code.

    W1 reduces C channels to d; ``cov`` is the d x d covariance over the positions, ``1/(HW) sum (x - mean)(x - mean)^T``; R
    is a row-wise convolution, which makes four numbers of each row of its own; W2 is (C, 4d). 5 C d + C + 4 d^2 + 9 d
    weights, the norms' included. Takes features (N, C, H, W) and returns features of the same shape.

    GSoP-Net1 has it in the last block of each stage, after its last norm and before the sum, and no stride in the last
    stage (configs/imagenet/gsop_resnet50.py).

    Args:
        in_channels: Number of channels C.
        channels: d.
        stride: Of the reduction; 2 in the first stage of the authors' networks.

    Raises:
        UserError: If one is not a positive integer.
    """

    _abbr_ = 'gsop'

    def __init__(self, in_channels: int, channels: int = 128, stride: int = 1) -> None:
        super().__init__()
        in_channels, d = positive_int('in_channels', in_channels), positive_int('channels', channels)
        self.reduce = nn.Conv2d(in_channels, d, 1, positive_int('stride', stride))
        self.norm = nn.BatchNorm2d(d)
        self.row_norm = nn.BatchNorm2d(d)
        self.row_conv = nn.Conv2d(d, 4 * d, (d, 1), groups=d)
        self.expand = nn.Conv2d(4 * d, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.reduce(x.relu())).relu().flatten(2)
        y = y - y.mean(2, keepdim=True)
        covariance = y @ y.transpose(1, 2) / y.shape[2]  # (N, d, d)
        return x * self.expand(self.row_conv(self.row_norm(covariance[..., None]))).sigmoid()
