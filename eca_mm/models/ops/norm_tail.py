"""The end of a residual block, from its last norm on, in fewer passes over the feature map."""

from typing import Any

import torch
from torch import Tensor

from eca_mm.models.ops import aten
from eca_mm.models.ops.coefficients import Coefficients, SmallGraph, differentiable, needs_graph


def norm_tail(u: Tensor, identity: Tensor | None, coefficients: Coefficients, relu: bool = True) -> Tensor:
    """``ReLU(attention(norm(u)) + identity)``; without the sum where there is no identity, without the ReLU if told so.

    Equals these layers one after the other, the norm's running statistics included. u is read for its statistics and then
    once for the map ``A u + B`` of :class:`Coefficients`; u and the output are kept for backward.

    Args:
        u: Output of a convolution, (N, C, H, W). Where no gradient is recorded it is written over.
        identity: Of the same shape, or None.
        coefficients: The norm and the attention.
        relu: Whether the block ends in a ReLU.
    """
    parameters = coefficients.parameters()
    if needs_graph(u, identity, *parameters):
        return _NormTail.apply(coefficients, relu, u, identity, *parameters)
    u = aten.dense(u)
    a, b = coefficients(*_statistics(coefficients, u))
    return aten.affine(u, a, b, identity, relu, out=u)


def _statistics(coefficients: Coefficients, u: Tensor) -> tuple[Tensor, Tensor | None]:
    mean, var = aten.moments(u, second=coefficients.norm.training)
    if var is not None:
        coefficients.track(mean, var, u[0, 0].numel())
    return mean, var


class _NormTail(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, coefficients: Coefficients, relu: bool, u: Tensor, identity: Tensor | None, *parameters: Tensor
    ) -> Tensor:
        u = aten.dense(u)
        ctx.graph = SmallGraph(coefficients, _statistics(coefficients, u))
        ctx.coefficients = coefficients
        a, b = ctx.graph.outputs
        y = aten.affine(u, a, b, identity, relu, out=torch.empty_like(u))
        ctx.save_for_backward(u, y if relu else None, *parameters)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        u, y, *parameters = ctx.saved_tensors
        (mean, var), (a, _) = ctx.graph.leaves, ctx.graph.outputs
        if torch.is_grad_enabled():  # for second derivatives
            g = g if y is None else g * (y > 0)
            mean = u.mean((2, 3))
            deviation = u - mean[..., None, None]
            a, b = ctx.coefficients(mean, None if var is None else deviation.square().mean((2, 3)))
            out = a[..., None, None] * u + b[..., None, None]
            du, *d_parameters = differentiable(out, (u, *parameters), g)
            return None, None, du, g if ctx.needs_input_grad[3] else None, *d_parameters
        mean = mean.detach()
        g, dot, total = aten.masked_sums(g, y, u, mean)
        d_mean, d_var, *d_parameters = ctx.graph.gradients((dot, total), parameters)
        du = None
        if ctx.needs_input_grad[2]:
            pixels = u[0, 0].numel()
            r = d_mean / pixels
            # var = sum((u - mean)^2) / HW, hence d var / du = 2 (u - mean) / HW.
            q = None if d_var is None else 2 * d_var / pixels
            du = aten.combine(g, a, u, q, r if q is None else r - q * mean)
        return None, None, du, g if ctx.needs_input_grad[3] else None, *d_parameters
