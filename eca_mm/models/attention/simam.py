"""SimAM: Yang et al., "SimAM: A Simple, Parameter-Free Attention Module", ICML 2021."""

from torch import Tensor, nn

from eca_mm.errors import UserError
from eca_mm.registry import MODELS


@MODELS.register_module()
class SimAMLayer(nn.Module):
    """``X * sigmoid(1 / e)`` with ``1 / e = (x - mean)^2 / (4 (s^2 + lambda)) + 1/2`` (its Eq. 5), without parameters.

    The mean and the variance s^2, whose divisor is HW - 1, are a channel's over its positions: what stands out there is kept.
    Takes features (N, C, H, W) and returns features of the same shape; of a single position it keeps sigmoid(1/2).

    Args:
        in_channels: Number of channels C, on which nothing depends.
        e_lambda: lambda.

    Raises:
        UserError: If ``e_lambda`` is not positive.
    """

    _abbr_ = 'simam'

    def __init__(self, in_channels: int, e_lambda: float = 1e-4) -> None:
        super().__init__()
        if not e_lambda > 0:
            raise UserError(f'e_lambda must be positive, got {e_lambda!r}')
        self.e_lambda = e_lambda

    def forward(self, x: Tensor) -> Tensor:
        squares = (x - x.mean((2, 3), keepdim=True)).square()
        variance = squares.sum((2, 3), keepdim=True) / max(x.shape[2] * x.shape[3] - 1, 1)
        return x * (squares / (4 * (variance + self.e_lambda)) + 0.5).sigmoid()
