"""Deformable convolution (https://arxiv.org/abs/1703.06211) and its modulated form (https://arxiv.org/abs/1811.11168).

Source: mmcv 2.3.6, ``csrc/pytorch/{deform_conv,modulated_deform_conv}.cpp``; computed by torchvision's deform_conv2d,
which samples and multiplies as mmcv does. Offsets (B, 2 D kH kW, H', W') are (y, x) pairs, masks (B, D kH kW, H', W'),
D the number of groups of channels that share offsets. `columns` and `ones` are scratch memory of the C++ code. The
`sizes`, which mmcv gives by name, are those of the kernel, strides, paddings and dilations, and the numbers of groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from mmcv_torch_ops.errors import OperatorError
from mmcv_torch_ops.numbers import widen


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
    offset_, mask_ = _sampling(input, weight, offset, mask, sizes)
    output.copy_(_forward(input, weight, offset_, mask_, bias if with_bias else None, sizes))


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
    offset_, mask_ = _sampling(input, weight, offset, mask, sizes)
    gradients = _backward(grad_output, input, weight, offset_, mask_, bias if with_bias else None, sizes)
    for target, gradient in zip((grad_input, grad_weight), gradients):
        target.copy_(gradient)
    for target, gradient in zip((grad_offset, grad_mask), gradients[2:]):
        values = gradient.flatten(1)
        target.view(len(target), -1)[:, : values.shape[1]] = values
    if with_bias:
        grad_bias.copy_(gradients[4])


@dataclass
class _Geometry:
    """Strides, paddings and dilations as (y, x), and the numbers of groups."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    deform_groups: int

    @classmethod
    def of(cls, sizes: dict[str, Any]) -> _Geometry:
        """Read the names of either operator."""
        pairs = [('dH', 'dW'), ('padH', 'padW'), ('dilationH', 'dilationW')]
        if 'dH' not in sizes:
            pairs = [('stride_h', 'stride_w'), ('pad_h', 'pad_w'), ('dilation_h', 'dilation_w')]
        stride, padding, dilation = ((sizes[y], sizes[x]) for y, x in pairs)
        return cls(stride, padding, dilation, sizes['group'], sizes['deformable_group'])

    def flat(self) -> tuple[int, ...]:
        """Return the order of torchvision's operator."""
        return (*self.stride, *self.padding, *self.dilation, self.groups, self.deform_groups)

    def output_size(self, input: Tensor, weight: Tensor) -> list[int]:
        return [
            (input.shape[2 + axis] + 2 * self.padding[axis] - self.dilation[axis] * (weight.shape[2 + axis] - 1) - 1)
            // self.stride[axis]
            + 1
            for axis in (0, 1)
        ]


def _forward(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, sizes: dict[str, Any]
) -> Tensor:
    arguments = _present(*widen(input, weight, offset, mask, bias))
    return torch.ops.torchvision.deform_conv2d(*arguments, *_Geometry.of(sizes).flat(), mask is not None)


def _backward(
    gradient: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    sizes: dict[str, Any],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of input, weight, offset, mask and bias."""
    geometry = _Geometry.of(sizes)
    gradient_, input_, weight_, offset_, mask_, bias_ = widen(gradient, input, weight, offset, mask, bias)
    arguments = _present(input_, weight_, offset_, mask_, bias_)
    gradients = torch.ops.torchvision._deform_conv2d_backward(gradient_, *arguments, *geometry.flat(), mask is not None)
    _zero_at_border(gradients[2], offset_, weight.shape[2:], geometry)
    return gradients


def _zero_at_border(gradient: Tensor, offset: Tensor, kernel: Sequence[int], geometry: _Geometry) -> None:
    """Zero the offsets' gradients of samples at exactly -1, which mmcv takes for outside, and torchvision for inside.

    Offsets begin at 0, so with a padding of 1 the first step has such samples at the whole border.
    """
    b, _, height, width = offset.shape
    split = (b, -1, *kernel, 2, height, width)
    for axis, size in enumerate((height, width)):
        steps = torch.arange(size, device=offset.device) * geometry.stride[axis] - geometry.padding[axis]
        taps = torch.arange(kernel[axis], device=offset.device) * geometry.dilation[axis]
        grid = taps[:, None] + steps
        grid = grid[:, None, :, None] if axis == 0 else grid[:, None, :]
        position = offset.view(split).select(4, axis) + grid
        gradient.view(split).select(4, axis).masked_fill_(position == -1, 0)


def _present(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Fill in what is absent: torchvision's operator has no optional tensors."""
    mask = input.new_zeros((input.shape[0], 1)) if mask is None else mask
    bias = weight.new_zeros(weight.shape[0]) if bias is None else bias
    return input, weight, offset, mask, bias


def _sampling(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, sizes: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return offsets and masks of the output's size."""
    geometry = _Geometry.of(sizes)
    size, taps = geometry.output_size(input, weight), geometry.deform_groups * weight.shape[2] * weight.shape[3]
    return _first(offset, 'offset', 2 * taps, size), _first(mask, 'mask', taps, size)


def _first(tensor: Tensor, name: str, channels: int, size: Sequence[int]) -> Tensor:
    """Return the first channels * height * width values of each image as a map of that size.

    mmcv reads offsets and masks like this, whatever their height and width; DyHead hands over larger ones.

    Raises:
        OperatorError: If there are fewer values.
    """
    if tensor.shape[1:] == (channels, *size):
        return tensor
    needed = channels * size[0] * size[1]
    if tensor[0].numel() < needed:
        raise OperatorError(
            f'the {name} of a deformable convolution has {tuple(tensor.shape[1:])} values per image, but '
            f'{(channels, *size)} are needed for its output.'
        )
    return tensor.flatten(1)[:, :needed].reshape(len(tensor), channels, *size)
