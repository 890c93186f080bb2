"""When a fast path may take the place of the layers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eca_mm import compat
from eca_mm.models.attention import ChannelAttention


def usable(
    z: Any, conv: nn.Module, norm: Any, attention: nn.Module, passed: Sequence[nn.Module], triton: bool = False
) -> bool:
    """Whether the fast paths give, for the convolution's input z, what the layers give, and nobody observes the layers.

    Args:
        passed: Other modules that a fast path passes over.
        triton: Whether Triton's kernels may be used.
    """
    layers = (conv, norm, attention, *passed)
    return (
        fits(z, norm, attention, triton=triton)
        and gates(attention)
        and type(norm) is nn.BatchNorm2d
        and norm.affine
        and norm.running_mean is not None
        and (not norm.training or (norm.momentum is not None and z.numel() > z.shape[1]))
        and not hooked(layers)
    )


def fits(z: Any, *layers: Any, triton: bool = False) -> bool:
    """Whether the passes over feature maps are made for z, and nothing follows the operators: a compiler, an exporter, a
    mode that counts, a transform."""
    if type(z) is not Tensor:  # but a stand-in of torch.fx, or a fake tensor
        return False
    dtypes = {p.dtype for layer in layers for p in layer.parameters()}
    if z.device.type == 'cpu':
        fits = (
            z.dtype in (torch.float32, torch.float64) and dtypes <= {z.dtype} and not compat.is_cpu_autocast_enabled()
        )
    else:
        fits = triton and z.device.type == 'cuda' and z.dtype != torch.float64 and dtypes <= {torch.float32}
    return (
        fits
        and not compat.is_compiling()
        and not torch.jit.is_tracing()
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch._C._are_functorch_transforms_active()
    )


def gates(attention: Any) -> bool:
    """Whether a layer is its weights times its input, and nothing else."""
    return isinstance(attention, ChannelAttention) and type(attention).forward is ChannelAttention.forward


def commutes(z: Tensor, conv: Any) -> bool:
    """Whether average pooling commutes with the convolution, and its product with A takes less than a pass over u: it has K
    numbers per image and channel, u has HW.

    The norm must not use the statistics of the batch.
    """
    return (
        z.device.type == 'cpu'
        and pointwise(conv)
        and conv.in_channels <= min(conv.out_channels, z.shape[2] * z.shape[3])
    )


def pointwise(conv: Any) -> bool:
    return (
        type(conv) is nn.Conv2d
        and conv.kernel_size == conv.stride == (1, 1)
        and conv.padding == (0, 0)
        and conv.groups == 1
    )


def hooked(layers: Sequence[nn.Module]) -> bool:
    """Whether a hook waits for one of the layers, or for all modules."""
    return compat.has_global_hooks() or any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
        for layer in layers
        for m in layer.modules()
    )
