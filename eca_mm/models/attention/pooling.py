"""What every channel attention of the paper starts and ends with: g(X) of Eq. 1, and the rescaling of X."""

import torch
from torch import Tensor

from eca_mm.errors import UserError


@torch.fx.wrap  # a leaf for torch.fx, which cannot follow the condition: a traced layer checks its input too
def _features(x: Tensor) -> Tensor:
    if x.ndim != 4:
        raise UserError(f'channel attention needs features of shape (N, C, H, W), got {list(x.shape)}')
    return x


def squeeze(x: Tensor) -> Tensor:
    """Global average pooling of each channel, ``y = g(X) = 1/(WH) * sum_ij X_ij`` (below Eq. 1).

    Args:
        x: Features of shape (N, C, H, W).

    Returns:
        Channel descriptors of shape (N, C).

    Raises:
        ValueError: If ``x`` is not 4-dimensional.
    """
    return _features(x).mean((2, 3))


def rescale(x: Tensor, weights: Tensor) -> Tensor:
    """Multiplies each channel of ``x``, (N, C, H, W), by its weight in ``weights``, (N, C)."""
    return x * weights[:, :, None, None]
