"""Base class of channel attention: pool, compute the gate, rescale."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from eca_mm.errors import UserError


class ChannelAttention(nn.Module, ABC):
    """Channel attention: ``X * gate(g(X))`` with the global average pooling ``g(X) = 1/(WH) * sum_ij X_ij`` (Eq. 1).

    Takes features (N, C, H, W) and returns features of the same shape. A subclass gives the formula in :meth:`gate`.
    Its ``_abbr_`` is the layer's name in a block, hence in the keys of checkpoints.

    Raises:
        UserError: In ``forward``, for an input that is not 4-dimensional. A module traced by torch.fx does not check.
    """

    _abbr_: str

    @abstractmethod
    def gate(self, y: Tensor) -> Tensor:
        """Return the factors of the channels, (N, C), from their means ``y``, (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, Tensor) and x.ndim != 4:  # torch.fx traces with a stand-in, which has no shape
            raise UserError(f'channel attention needs features of shape (N, C, H, W), got {list(x.shape)}')
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


def positive_int(
    name: str, value: Any, kind: str = 'a positive integer', fits: Callable[[int], bool] = lambda n: True
) -> int:
    """Return ``value`` as an int. It may have any integer type, numpy's too, but not bool, and not float.

    Raises:
        UserError: If it is not positive, or ``fits`` is false for it. The sentence has the argument's name and ``kind``.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1 or not fits(number):
        raise UserError(f'{name} must be {kind}, got {value!r}')
    return number
