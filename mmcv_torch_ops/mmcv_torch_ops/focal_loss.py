"""Focal loss (https://arxiv.org/abs/1708.02002) with its gradient.

Source: mmcv 2.3.6, ``csrc/common/cuda/{sigmoid,softmax}_focal_loss_cuda_kernel.cuh``; mmcv has it on GPUs only, here it
works on every device. Half precision is computed in float32 and rounded once. `weight` (C,) multiplies a row's loss by
the weight of its label, and is empty where there is none.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = torch.finfo(torch.float32).tiny  # FLT_MIN: the argument of a logarithm is at least this


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """With p = sigmoid(x): -alpha (1 - p)^gamma log p at the label, -(1 - alpha) p^gamma log(1 - p) elsewhere.

    Args:
        input: Logits x (N, C).
        target: Labels (N,); C, or any other value outside, for background.
        output: (N, C), written.
    """
    p, positive = _sigmoid(input, target)
    loss = torch.where(
        positive,
        -alpha * (1 - p).pow(gamma) * p.clamp(min=SMALLEST).log(),
        -(1 - alpha) * p.pow(gamma) * (1 - p).clamp(min=SMALLEST).log(),
    )
    output.copy_(loss * _row_weights(target, weight)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Writes to `grad_input` (N, C) the derivative of each loss of :func:`sigmoid_focal_loss_forward` by its logit."""
    p, positive = _sigmoid(input, target)
    gradient = torch.where(
        positive,
        -alpha * (1 - p).pow(gamma) * (1 - p - gamma * p * p.clamp(min=SMALLEST).log()),
        -(1 - alpha) * p.pow(gamma) * (gamma * (1 - p) * (1 - p).clamp(min=SMALLEST).log() - p),
    )
    grad_input.copy_(gradient * _row_weights(target, weight)[:, None])


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """With p the label's probability: -alpha (1 - p)^gamma log p; 0 where the label is negative.

    Args:
        input: Probabilities (N, C), which mmcv computes before.
        target: Labels (N,).
        output: (N,), written.
    """
    p = _label_probability(input, target)
    loss = -alpha * (1 - p).pow(gamma) * p.clamp(min=SMALLEST).log()
    output.copy_(torch.where(target >= 0, loss * _row_weights(target, weight), 0))


def softmax_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Writes to `grad_input` (N, C) the derivative of :func:`softmax_focal_loss_forward` by the logits.

    dL/dx_c = b ([c = label] - p_c), with b = alpha (-(1 - p)^gamma + gamma (1 - p)^(gamma - 1) p log p) in `buff` (N,).
    """
    p = _label_probability(input, target)
    factor = gamma * (1 - p).pow(gamma - 1) * p * p.clamp(min=SMALLEST).log() - (1 - p).pow(gamma)
    b = torch.where(target >= 0, alpha * factor * _row_weights(target, weight), 0)
    buff.copy_(b)
    classes = torch.arange(input.shape[1], device=input.device)
    grad_input.copy_(b[:, None] * ((target[:, None] == classes).to(b.dtype) - input.to(b.dtype)))


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _sigmoid(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (N, C) and where (N, C) the label is."""
    return _wide(input).sigmoid(), target[:, None] == torch.arange(input.shape[1], device=input.device)


def _label_probability(input: Tensor, target: Tensor) -> Tensor:
    """(N,); that of class 0 where the label is negative."""
    return _wide(input).gather(1, target.clamp(min=0)[:, None])[:, 0]


def _row_weights(target: Tensor, weight: Tensor) -> Tensor:
    """The weight of each row's label (N,). A background label has none in mmcv either, which reads past the end there."""
    if not weight.numel():
        return torch.ones_like(target, dtype=torch.float32)
    return _wide(weight)[target.clamp(0, len(weight) - 1)]
