"""Multi-scale deformable attention (https://arxiv.org/abs/2010.04159).

mmcv has the formula in PyTorch, for CPUs, as ``multi_scale_deformable_attn_pytorch``; here GPUs use it too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcv_torch_ops.numbers import widen


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Read values bilinearly at the sampling locations of each query; weight and sum them.

    Args:
        value: (B, sum of H W over the levels, heads M, D).
        value_spatial_shapes: (L, 2), each level's (H, W).
        sampling_locations: (B, Q, M, L, points P, 2), as (x, y) in [0, 1].
        attention_weights: (B, Q, M, L, P).

    Returns:
        (B, Q, M D).
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    # As integers: with a tensor of the GPU every size in the loop over the levels would wait for it.
    shapes = value_spatial_shapes.tolist()
    value_, locations, weights = widen(value, sampling_locations, attention_weights)
    return multi_scale_deformable_attn_pytorch(value_, shapes, locations, weights).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of values, locations and weights; compute the forward pass again."""
    inputs = [tensor.detach().requires_grad_() for tensor in (value, sampling_locations, attention_weights)]
    with torch.enable_grad():
        output = ms_deform_attn_forward(
            inputs[0], value_spatial_shapes, value_level_start_index, inputs[1], inputs[2], im2col_step
        )
    gradients = torch.autograd.grad(output, inputs, grad_output)
    for target, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients):
        target.copy_(gradient)
