"""What every channel attention of the paper starts and ends with: g(X) of Eq. 1, and the rescaling of X."""

from torch import Tensor


def squeeze(x: Tensor) -> Tensor:
    """Global average pooling of each channel, ``y = g(X) = 1/(WH) * sum_ij X_ij`` (below Eq. 1).

    Args:
        x: Features of shape (N, C, H, W).

    Returns:
        Channel descriptors of shape (N, C).

    Raises:
        ValueError: If ``x`` is not 4-dimensional.
    """
    if x.ndim != 4:
        raise ValueError(f'channel attention needs features of shape (N, C, H, W), got {tuple(x.shape)}')
    return x.mean((2, 3))


def rescale(x: Tensor, weights: Tensor) -> Tensor:
    """Multiplies each channel of ``x``, (N, C, H, W), by its weight in ``weights``, (N, C)."""
    return x * weights[:, :, None, None]
