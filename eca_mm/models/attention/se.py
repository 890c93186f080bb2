"""Squeeze-and-Excitation and its variants of Table 1: the paper's Eq. 1-3."""

from torch import Tensor, nn

from eca_mm.errors import UserError
from eca_mm.models.attention.base import ChannelAttention, positive_int
from eca_mm.registry import MODELS


def _divisor(name: str, value: int | None, channels: int) -> int:
    return positive_int(name, value, f'a positive divisor of in_channels={channels}', lambda n: channels % n == 0)


@MODELS.register_module()
class SELayer(ChannelAttention):
    """Squeeze-and-Excitation (Eq. 1-2): ``X * sigmoid(W2 ReLU(W1 g(X)))``, 2 C^2 / r weights.

    The fully-connected layers have no biases by default: only without them has SE-ResNet-50 the 26.77M parameters of
    Table 2.

    Args:
        in_channels: Number of channels C.
        ratio: Reduction r of the hidden layer; 16 in the paper's ResNets, 8 in its MobileNetV2.
        bias: Biases in both layers, as timm's and mmpretrain's SE have them.

    Raises:
        UserError: If ``in_channels`` is not a positive integer, or ``ratio`` does not divide it.
    """

    _abbr_ = 'se'

    def __init__(self, in_channels: int, ratio: int = 16, bias: bool = False) -> None:
        super().__init__()
        in_channels = positive_int('in_channels', in_channels)
        hidden = in_channels // _divisor('ratio', ratio, in_channels)
        self.fc1 = nn.Linear(in_channels, hidden, bias=bias)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden, in_channels, bias=bias)

    def gate(self, y: Tensor) -> Tensor:
        return self.fc2(self.relu(self.fc1(y))).sigmoid()


@MODELS.register_module()
class SEVar1Layer(ChannelAttention):
    """SE-Var1 of Table 1: ``X * sigmoid(g(X))``, without parameters; nothing depends on ``in_channels``."""

    _abbr_ = 'se'

    def __init__(self, in_channels: int) -> None:
        super().__init__()

    def gate(self, y: Tensor) -> Tensor:
        return y.sigmoid()


@MODELS.register_module()
class SEGCLayer(ChannelAttention):
    """SE with one group-wise layer (Eq. 3): ``X * sigmoid(W_G g(X))``, W_G block-diagonal, C^2 / G weights in G groups.

    Table 1 has five of them: ``groups=1`` is SE-Var3 (C^2 weights), ``groups=16`` is SE-GC1; ``group_width=1`` is SE-Var2
    (C weights), 16 and 8 are SE-GC2 and SE-GC3.

    Args:
        in_channels: Number of channels C.
        groups: Number of groups G.
        group_width: Channels per group C / G, instead of ``groups``.

    Raises:
        UserError: If ``in_channels`` is not a positive integer, not exactly one of both others is given, or it does
            not divide ``in_channels``.
    """

    _abbr_ = 'se'

    def __init__(self, in_channels: int, groups: int | None = None, group_width: int | None = None) -> None:
        super().__init__()
        if (groups is None) == (group_width is None):
            raise UserError(f'give either groups or group_width, got {groups!r} and {group_width!r}')
        in_channels = positive_int('in_channels', in_channels)
        if groups is None:
            groups = in_channels // _divisor('group_width', group_width, in_channels)
        groups = _divisor('groups', groups, in_channels)
        self.conv = nn.Conv1d(in_channels, in_channels, 1, groups=groups, bias=False)

    def gate(self, y: Tensor) -> Tensor:
        return self.conv(y[:, :, None])[:, :, 0].sigmoid()
