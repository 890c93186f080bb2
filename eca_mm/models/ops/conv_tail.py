"""The end of a residual block, from its last 1x1 convolution on, where the norm's statistics are known before."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from eca_mm.models.ops import aten
from eca_mm.models.ops.coefficients import Coefficients, Folded, SmallGraph, differentiable, needs_graph


def conv_tail(z: Tensor, weight: Tensor, identity: Tensor, coefficients: Coefficients | Folded) -> Tensor:
    """``ReLU(attention(norm(conv(z))) + identity)``, where the norm uses its running statistics or is part of the convolution.

    Average pooling commutes with a 1x1 convolution, ``g(W z) = W g(z)``: A and B of :class:`Coefficients` are known before
    it, and become part of it: ``A (W z) + identity = (A W) z + identity``, one matrix product per image that starts at the
    identity. Backward takes ``P = g z^T`` of each image; then ``sum(g u) = diag(P W^T)``, and W's gradient is the sum of
    ``A P`` over the images. Neither u = W z nor its gradient is ever made; z and the output are kept for backward.

    Args:
        z: Input of the convolution, (N, K, H, W).
        weight: Of the convolution, (C, K, 1, 1).
        identity: (N, C, H, W).
        coefficients: The norm and the attention.
    """
    parameters = coefficients.parameters()
    if needs_graph(z, weight, identity, *parameters):
        return _ConvTail.apply(coefficients, z, weight, identity, *parameters)
    z, w = aten.dense(z), weight.flatten(1)
    return _forward(z, w, identity, *coefficients(z.mean((2, 3)) @ w.T))


def _forward(z: Tensor, w: Tensor, identity: Tensor, a: Tensor, b: Tensor) -> Tensor:
    y = aten.matrix_product(identity, a[:, :, None] * w, z)
    return aten.add_relu_(y, b)


class _ConvTail(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, coefficients: Coefficients | Folded, z: Tensor, weight: Tensor, identity: Tensor, *parameters: Tensor
    ) -> Tensor:
        z, w = aten.dense(z), weight.flatten(1)
        ctx.graph = SmallGraph(lambda pooled, w: coefficients(pooled @ w.T), (z.mean((2, 3)), w))
        ctx.coefficients = coefficients
        y = _forward(z, w, identity, *ctx.graph.outputs)
        ctx.save_for_backward(z, weight, y, *parameters)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        z, weight, y, *parameters = ctx.saved_tensors
        if torch.is_grad_enabled():  # for second derivatives
            g = g * (y > 0)
            a, b = ctx.coefficients(z.mean((2, 3)) @ weight.flatten(1).T)
            out = a[..., None, None] * F.conv2d(z, weight) + b[..., None, None]
            dz, d_weight, *d_parameters = differentiable(out, (z, weight, *parameters), g)
            return None, dz, d_weight, g, *d_parameters
        w, (a, _) = weight.flatten(1), ctx.graph.outputs
        g = aten.masked(g, y, y)
        p = aten.outer_product(g, z)
        d_pooled, d_w, *d_parameters = ctx.graph.gradients(((p * w).sum(2), g.sum((2, 3))), parameters)
        dz = None
        if ctx.needs_input_grad[1]:
            start = (d_pooled / z[0, 0].numel())[..., None, None]
            dz = aten.matrix_product(start.expand_as(z), (a[:, :, None] * w).mT, g)
        d_weight = None
        if ctx.needs_input_grad[2]:
            d_weight = torch.einsum('nc,nck->ck', a, p).add_(d_w).view_as(weight)
        return None, dz, d_weight, g if ctx.needs_input_grad[3] else None, *d_parameters
