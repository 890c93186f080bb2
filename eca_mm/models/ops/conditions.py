"""When a fast path may take the place of the layers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eca_mm.models.attention import ChannelAttention


def usable(z: Any, conv: nn.Module, norm: Any, attention: nn.Module | None, passed: Sequence[nn.Module] = ()) -> bool:
    """Whether the fast paths give, for the convolution's input z, what the layers give, and nobody observes the layers.

    Args:
        passed: Other modules that a fast path passes over.
    """
    layers = (conv, norm, attention, *passed)
    return (
        type(z) is Tensor  # not a stand-in of torch.fx or of fake tensors
        and z.device.type == 'cpu'
        and z.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled('cpu')
        and isinstance(attention, ChannelAttention)
        and type(attention).forward is ChannelAttention.forward
        and type(norm) is nn.BatchNorm2d
        and norm.affine
        and norm.running_mean is not None
        and (not norm.training or (norm.momentum is not None and z.numel() > z.shape[1]))
        and all(p.dtype == z.dtype for layer in (norm, attention) for p in layer.parameters())
        and not _observed(layers)
    )


def commutes(z: Tensor, conv: nn.Module, norm: Any) -> bool:
    """Whether :func:`~eca_mm.models.ops.conv_tail` applies too, and takes less: it handles K numbers per image and channel,
    the others HW."""
    return (
        type(conv) is nn.Conv2d
        and conv.kernel_size == conv.stride == (1, 1)
        and conv.padding == (0, 0)
        and conv.groups == 1
        and conv.bias is None
        and not norm.training
        and conv.in_channels <= min(conv.out_channels, z.shape[2] * z.shape[3])
    )


def _observed(layers: Sequence[nn.Module | None]) -> bool:
    """Whether something follows the layers one by one: a hook, a compiler, an exporter, a mode that counts, a transform."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
        or torch.nn.modules.module._has_any_global_hook()
        or any(
            m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
            for layer in layers
            if layer is not None
            for m in layer.modules()
        )
    )
