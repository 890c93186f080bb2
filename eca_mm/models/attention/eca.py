"""Efficient Channel Attention: the paper's Eq. 4-6 and 9."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from eca_mm.errors import UserError
from eca_mm.models.attention.base import ChannelAttention, positive_int
from eca_mm.registry import MODELS


def eca_kernel_size(channels: int, gamma: float = 2, b: float = 1) -> int:
    """The odd kernel size of ECA for a block with C output channels: ``k = |log2(C) / gamma + b / gamma|_odd`` (Eq. 9).

    Rounded as the code of the paper's Figure 3 does it: truncate, then add one where the result is even.

    Raises:
        UserError: If ``channels`` is not a positive integer or ``gamma`` is not positive.

    Examples:
        >>> [eca_kernel_size(c) for c in (64, 128, 256, 512, 1024, 2048)]
        [3, 5, 5, 5, 5, 7]
    """
    channels = positive_int('channels', channels)
    if not gamma > 0:
        raise UserError(f'gamma must be positive, got {gamma!r}')
    t = int(abs((math.log2(channels) + b) / gamma))
    return t if t % 2 else t + 1


def _odd_kernel_size(kernel_size: int | None, channels: int, gamma: float, b: float) -> int:
    if kernel_size is None:
        return eca_kernel_size(channels, gamma, b)
    return positive_int('kernel_size', kernel_size, 'a positive odd integer, or None for Eq. 9', lambda k: k % 2 == 1)


@MODELS.register_module()
class ECALayer(ChannelAttention):
    """Efficient Channel Attention (Eq. 5-6): ``X * sigmoid(C1D_k(g(X)))``.

    One 1D convolution of k weights runs along the channels; every channel's weight depends on its k neighbours. The
    sigmoid is Eq. 6's; Figure 3's code leaves it out.

    Args:
        in_channels: Number of channels C.
        kernel_size: Odd k, or None for the adaptive choice of Eq. 9.
        gamma: Parameter of Eq. 9, used when ``kernel_size`` is None.
        b: The other one.

    Raises:
        UserError: If ``in_channels`` is not a positive integer, or ``kernel_size`` not a positive odd one.

    Examples:
        >>> ECALayer(512)
        ECALayer(
          (conv): Conv1d(1, 1, kernel_size=(5,), stride=(1,), padding=(2,), bias=False)
        )
    """

    _abbr_ = 'eca'  # the attribute's name in a block, hence the authors' key: layer1.0.eca.conv.weight

    def __init__(self, in_channels: int, kernel_size: int | None = None, gamma: float = 2, b: float = 1) -> None:
        super().__init__()
        in_channels = positive_int('in_channels', in_channels)
        k = _odd_kernel_size(kernel_size, in_channels, gamma, b)
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def gate(self, y: Tensor) -> Tensor:
        return self.conv(y[:, None])[:, 0].sigmoid()  # along the channels: (N, 1, C)


@MODELS.register_module()
class ECANSLayer(ChannelAttention):
    """ECA without shared parameters, ECA-NS (Eq. 4): ``w_i = sigmoid(sum_j alpha_i^j y_i^j)``, kC weights.

    Every channel weighs its own k neighbours; beyond the first and the last channel they are zero. As in the authors'
    code the weights are those of a depth-wise convolution: ``conv.weight`` of shape (C, 1, k).

    Args and errors: those of :class:`ECALayer`.
    """

    _abbr_ = 'eca'

    def __init__(self, in_channels: int, kernel_size: int | None = None, gamma: float = 2, b: float = 1) -> None:
        super().__init__()
        in_channels = positive_int('in_channels', in_channels)
        k = _odd_kernel_size(kernel_size, in_channels, gamma, b)
        self.conv = nn.Conv1d(in_channels, in_channels, k, groups=in_channels, bias=False)

    def gate(self, y: Tensor) -> Tensor:
        k = self.conv.kernel_size[0]
        neighbours = F.pad(y, (k // 2, k // 2)).unfold(1, k, 1)  # (N, C, k)
        return self.conv(neighbours)[:, :, 0].sigmoid()
