"""Deformable convolution (https://arxiv.org/abs/1703.06211) and its modulated form (https://arxiv.org/abs/1811.11168).

Source: mmcv 2.3.6, ``csrc/pytorch/{deform_conv,modulated_deform_conv}.cpp``; computed by torchvision's deform_conv2d,
which samples and multiplies as mmcv does. Offsets (B, 2 D kH kW, H', W') are (y, x) pairs, masks (B, D kH kW, H', W'),
D the number of groups of channels that share offsets. `columns` and `ones` are scratch memory of the C++ code. The
`sizes`, which mmcv gives by name, are those of the kernel, strides, paddings and dilations, and the numbers of groups.
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **sizes: Any,
) -> None:
    """Writes the convolution of `input` (B, C, H, W), sampled at shifted positions, to `output` (B, C', H', W')."""
    output.copy_(_forward(input, weight, offset, None, None, sizes))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **sizes: Any,
) -> None:
    """Writes the gradients of the input and of the offsets.

    torchvision computes the weight's at the same time, and mmcv asks for it in its next call with the same `columns`
    and `gradOutput`: it waits there.
    """
    gradients = _backward(gradOutput, input, weight, offset, None, None, sizes)
    gradInput.copy_(gradients[0])
    gradOffset.copy_(gradients[2])
    columns.waiting = (gradOutput, gradients[1])  # type: ignore[attr-defined]


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **sizes: Any,
) -> None:
    """Adds `scale` times the weight's gradient (C', C / group, kH, kW) to `gradWeight`."""
    of_output, gradient = vars(columns).pop('waiting', (None, None))
    if of_output is not gradOutput:  # only the weight needs a gradient; its value plays no part in it
        gradient = _backward(gradOutput, input, torch.zeros_like(gradWeight), offset, None, None, sizes)[1]
    gradWeight.add_(gradient, alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **sizes: Any,
) -> None:
    """As :func:`deform_conv_forward`, each sample multiplied by its mask, plus `bias` (C')."""
    output.copy_(_forward(input, weight, offset, mask, bias if with_bias else None, sizes))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **sizes: Any,
) -> None:
    """Writes the gradients of input, weight, offset and mask, and of the bias where there is one."""
    gradients = _backward(grad_output, input, weight, offset, mask, bias if with_bias else None, sizes)
    for target, gradient in zip((grad_input, grad_weight, grad_offset, grad_mask), gradients):
        target.copy_(gradient)
    if with_bias:
        grad_bias.copy_(gradients[4])


def _geometry(sizes: dict[str, Any]) -> tuple[int, ...]:
    """Stride, padding, dilation (each y, x), groups and groups of offsets, in the order of torchvision's operator."""
    if 'dH' in sizes:
        names = ['dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW']
    else:
        names = [f'{name}_{axis}' for name in ('stride', 'pad', 'dilation') for axis in 'hw']
    return tuple(sizes[name] for name in (*names, 'group', 'deformable_group'))


def _forward(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, sizes: dict[str, Any]
) -> Tensor:
    mask_, bias_ = _present(input, weight, mask, bias)
    return torch.ops.torchvision.deform_conv2d(input, weight, offset, mask_, bias_, *_geometry(sizes), mask is not None)


def _backward(
    gradient: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    sizes: dict[str, Any],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of input, weight, offset, mask and bias."""
    mask_, bias_ = _present(input, weight, mask, bias)
    return torch.ops.torchvision._deform_conv2d_backward(
        gradient, input, weight, offset, mask_, bias_, *_geometry(sizes), mask is not None
    )


def _present(input: Tensor, weight: Tensor, mask: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """torchvision's operator has no optional tensors."""
    return (
        input.new_zeros((input.shape[0], 1)) if mask is None else mask,
        weight.new_zeros(weight.shape[0]) if bias is None else bias,
    )
