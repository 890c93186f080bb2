"""Squeeze-and-Excitation: the paper's Eq. 1-2."""

from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.models.attention.pooling import rescale, squeeze


@MODELS.register_module()
class SELayer(nn.Module):
    """Squeeze-and-Excitation (Eq. 1-2): ``X * sigmoid(W2 ReLU(W1 g(X)))``, 2 C^2 / r weights.

    Takes and returns (N, C, H, W). The fully-connected layers have no biases: only so does SE-ResNet-50 have the
    26.77M parameters of Table 2.

    Args:
        in_channels: Number of channels C.
        ratio: Reduction r of the hidden layer; 16 in the paper's ResNets, 8 in its MobileNetV2.

    Raises:
        ValueError: If ``ratio`` is not a positive divisor of ``in_channels``; in ``forward``, for an input that is not
            4-dimensional.
    """

    _abbr_ = 'se'

    def __init__(self, in_channels: int, ratio: int = 16) -> None:
        super().__init__()
        if ratio < 1 or in_channels % ratio:
            raise ValueError(f'ratio must be a positive divisor of in_channels={in_channels}, got {ratio!r}')
        self.fc1 = nn.Linear(in_channels, in_channels // ratio, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(in_channels // ratio, in_channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return rescale(x, self.fc2(self.relu(self.fc1(squeeze(x)))).sigmoid())
