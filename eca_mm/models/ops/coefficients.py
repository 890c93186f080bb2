"""Batch norm and channel attention as one affine map per image and channel: the algebra of docs/speed.md, on (N, C) numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eca_mm.models.attention import ChannelAttention, ECALayer


@dataclass(frozen=True)
class Coefficients:
    """``X * attention.gate(g(X)) = A u + B`` with ``X = norm(u)``; A and B have shape (N, C), g is the average pooling.

    With the norm's ``a = weight / sqrt(v + eps)`` and its mean m and variance v, those of the batch in training mode and the
    running ones otherwise: ``s = attention.gate(a (g(u) - m) + bias)``, ``A = s a``, ``B = s (bias - a m)``.
    """

    norm: Any  # nn.BatchNorm2d
    attention: ChannelAttention

    def parameters(self) -> list[nn.Parameter]:
        return [*self.norm.parameters(), *self.attention.parameters()]

    def statistics(self, mean: Tensor, var: Tensor | None) -> tuple[Tensor, Tensor]:
        """The norm's m and v, (C,), from the mean and biased variance of each channel of each image, (N, C)."""
        if var is None:
            return self.norm.running_mean, self.norm.running_var
        m = mean.mean(0)
        return m, (var + (mean - m).square()).mean(0)

    def __call__(self, mean: Tensor, var: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A and B from the mean and, where the norm uses those of the batch, biased variance of each channel of each image."""
        m, v = self.statistics(mean, var)
        a = self.norm.weight * (v + self.norm.eps).rsqrt()
        with torch.autocast(mean.device.type, enabled=False):
            s = _gate(self.attention, a * (mean - m) + self.norm.bias)
        return s * a, s * (self.norm.bias - a * m)

    @torch.no_grad()
    def track(self, mean: Tensor, var: Tensor, pixels: int) -> None:
        """Moves the norm's running statistics, as it does itself, by m and the unbiased variance of N * pixels values."""
        m, v = self.statistics(mean, var)
        count = len(mean) * pixels
        self.norm.running_mean.lerp_(m.to(self.norm.running_mean), self.norm.momentum)
        self.norm.running_var.lerp_(v.to(self.norm.running_var) * (count / (count - 1)), self.norm.momentum)
        self.norm.num_batches_tracked += 1


@dataclass(frozen=True)
class Folded:
    """:class:`Coefficients` where the norm is part of the convolution, and u is what that gives without its bias:
    ``s = attention.gate(g(u) + bias)``, ``A = s``, ``B = s bias``.
    """

    bias: Tensor  # of the convolution, (C,)
    attention: ChannelAttention

    def parameters(self) -> list[nn.Parameter]:
        return [*self.attention.parameters()]

    def __call__(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        s = _gate(self.attention, mean + self.bias)
        return s, s * self.bias


def _gate(attention: ChannelAttention, y: Tensor) -> Tensor:
    """``attention.gate(y)``; by another operator for ECA itself, as a subclass may have another formula."""
    if type(attention) is not ECALayer:
        return attention.gate(y)
    # One picture of N rows: a 1D convolution of one channel, and its backward, take a CPU five times as long.
    w = attention.conv.weight
    return F.conv2d(y[None, None], w[None], padding=(0, w.shape[2] // 2))[0, 0].sigmoid()


class SmallGraph:
    """Autograd within an autograd function: outputs from leaves, and later the leaves' gradients."""

    def __init__(self, function: Callable[..., Any], leaves: Sequence[Tensor | None]) -> None:
        self.leaves = [leaf if leaf is None else leaf.detach().requires_grad_() for leaf in leaves]
        # Not the hooks of a checkpoint around: what it saves is small, and would be computed anew in our backward.
        # Detached: an operator that keeps its output, with its own graph, would keep itself for ever.
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(Tensor.detach, lambda saved: saved):
            self.with_grad = function(*self.leaves)
        self.outputs = tuple(output.detach() for output in self.with_grad)

    def gradients(self, grads: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor | None]:
        """Of the leaves, then of the parameters, from those of the outputs; None for what does not need one."""
        inputs = [t for t in (*self.leaves, *parameters) if t is not None and t.requires_grad]
        found = iter(torch.autograd.grad(self.with_grad, inputs, grads, retain_graph=True, allow_unused=True))
        return [next(found) if t is not None and t.requires_grad else None for t in (*self.leaves, *parameters)]


def needs_graph(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def differentiable(output: Tensor, inputs: Sequence[Tensor], grad: Tensor) -> list[Tensor | None]:
    """The inputs' gradients by torch's own formulas, which have derivatives themselves; None for what needs none."""
    wanted = [t for t in inputs if t.requires_grad]
    found = iter(torch.autograd.grad(output, wanted, grad, create_graph=True, allow_unused=True))
    return [next(found) if t.requires_grad else None for t in inputs]
