"""Conditions under which a fast path may replace the layers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eca_mm import compat
from eca_mm.models.attention import ChannelAttention


def usable(z: Any, conv: nn.Module, norm: Any, attention: nn.Module, around: Sequence[nn.Module]) -> bool:
    """Return whether a fast path gives, for the convolution's input z, the result of the layers, and no hook observes them.

    Args:
        z: Input of the convolution.
        conv: The block's last convolution.
        norm: The norm behind it.
        attention: The attention behind that, of which :func:`gates` is true.
        around: Other modules that a fast path does not call.
    """
    return (
        fits(z, norm, attention)
        and type(norm) is nn.BatchNorm2d
        and norm.affine
        and norm.running_mean is not None
        and (not norm.training or (norm.momentum is not None and z.numel() > z.shape[1]))
        and not hooked((conv, norm, attention, *around))
    )


def fits(z: Any, *layers: Any) -> bool:
    """Return whether the passes of :mod:`eca_mm.models.ops.aten` take z, and nothing observes the operators: a compiler, an
    exporter, a mode that counts, a transform.
    """
    if type(z) is not Tensor or z.device.type != 'cpu':  # a proxy of torch.fx, a fake tensor
        return False
    return (
        z.dtype in (torch.float32, torch.float64)
        and {p.dtype for layer in layers for p in layer.parameters()} <= {z.dtype}
        and not compat.is_cpu_autocast_enabled()
        and not compat.is_compiling()
        and not torch.jit.is_tracing()
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch._C._are_functorch_transforms_active()
    )


def gates(attention: Any) -> bool:
    """Return whether a layer multiplies its input by its gate, and does nothing else."""
    return isinstance(attention, ChannelAttention) and type(attention).forward is ChannelAttention.forward


def inactive(drop_path: Any) -> bool:
    """Return whether stochastic depth drops nothing now."""
    return drop_path is None or type(drop_path) is nn.Identity or not drop_path.training


def is_conv_module(module: Any) -> bool:
    """Return whether a module is a convolution and a norm, as mmcv's ConvModule without activation."""
    return [*module._modules] == ['conv', getattr(module, 'norm_name', None)]


def commutes(z: Tensor, conv: Any) -> bool:
    """Return whether average pooling commutes with the convolution, and A times its weights is cheaper than a pass over u.

    That product has K numbers per image and channel, u has HW. The norm must not use the statistics of the batch.
    """
    return (
        z.device.type == 'cpu'
        and pointwise(conv)
        and conv.in_channels <= min(conv.out_channels, z.shape[2] * z.shape[3])
    )


def pointwise(conv: Any) -> bool:
    """Return whether a convolution works pixel by pixel: 1x1, without stride, padding and groups."""
    return (
        type(conv) is nn.Conv2d
        and conv.kernel_size == conv.stride == (1, 1)
        and conv.padding == (0, 0)
        and conv.groups == 1
    )


def hooked(layers: Sequence[nn.Module]) -> bool:
    """Return whether one of the layers, or a module in it, has a hook, or all modules have one."""
    return compat.has_global_hooks() or any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
        for layer in layers
        for m in layer.modules()
    )
