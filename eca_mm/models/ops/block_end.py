"""The end of a residual block: its last convolution, norm and attention, the sum, and the activation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from eca_mm.models.ops import conditions as when
from eca_mm.models.ops.coefficients import Coefficients, Folded
from eca_mm.models.ops.conv_tail import conv_tail
from eca_mm.models.ops.norm_tail import norm_tail

Layer = Callable[[Tensor], Tensor]


def residual_end(
    z: Tensor,
    conv: nn.Module,
    norm: nn.Module | None,
    attention: Layer,
    identity: Tensor | None,
    relu: nn.Module | None = None,
    drop_path: nn.Module | None = None,
    fused: bool = True,
) -> Tensor:
    """Compute ``relu(drop_path(attention(norm(conv(z)))) + identity)`` (the paper's Figure 2).

    Args:
        z: Input of the block's last convolution, (N, K, H, W).
        conv: That convolution, or mmcv's ConvModule of a convolution and a norm.
        norm: The norm behind it; None if the convolution has none, or is a ConvModule.
        attention: The layer in the block's attention slot; an ``nn.Identity`` if it is empty.
        identity: Output of the shortcut, (N, C, H, W), or None for a block without a sum.
        relu: The activation behind the sum, if there is one.
        drop_path: Stochastic depth of the branch, if there is any.
        fused: Whether a faster computation may replace these layers where it gives the same result (docs/speed.md).
    """
    if fused and (out := _fast_end(z, conv, norm, attention, identity, relu, drop_path)) is not None:
        return out
    out = conv(z) if norm is None else norm(conv(z))
    out = attention(out)
    if drop_path is not None:
        out = drop_path(out)
    if identity is not None and type(attention) is nn.Identity:
        out += identity  # in place, as in mmpretrain; an attention layer may need its output for backward
    elif identity is not None:
        out = out + identity
    return out if relu is None else relu(out)


def _fast_end(
    z: Tensor,
    conv: Any,
    norm: Any,
    attention: Any,
    identity: Tensor | None,
    relu: nn.Module | None,
    drop_path: nn.Module | None,
) -> Tensor | None:
    """Compute :func:`residual_end` by a fast path; return None where none gives the same result, or a hook observes a layer."""
    if type(relu) not in (nn.ReLU, type(None)) or not when.inactive(drop_path) or not when.gates(attention):
        return None
    around = [module for module in (relu, drop_path) if module is not None]
    if norm is None:
        if not when.is_conv_module(conv):
            return None
        around.append(conv)
        conv, norm = conv.conv, conv.norm
    if type(norm) is nn.Identity:  # its statistics are part of the convolution: fuse_for_inference
        folded = conv.bias is not None and not when.hooked((conv, attention, *around))
        return _folded_end(z, conv, attention, identity, relu is not None) if folded else None
    if not when.usable(z, conv, norm, attention, around):
        return None
    coefficients = Coefficients(norm, attention)
    if relu is not None and identity is not None and conv.bias is None and not norm.training and when.commutes(z, conv):
        return conv_tail(z, conv.weight, identity, coefficients)
    return norm_tail(conv(z), identity, coefficients, relu is not None)


def _folded_end(z: Tensor, conv: Any, attention: Any, identity: Tensor | None, relu: bool) -> Tensor:
    """Compute the end of a block whose norm is part of its convolution, with the gate before the convolution if that is cheaper.

    It works on any device and in exported graphs, as it uses torch's public operators.
    """
    if relu and identity is not None and when.fits(z, conv, attention) and when.commutes(z, conv):
        return conv_tail(z, conv.weight, identity, Folded(conv.bias, attention))
    out = conv(z)
    # Average pooling commutes with a 1x1 convolution, and reads less in front of it.
    early = when.pointwise(conv) and conv.in_channels <= conv.out_channels
    pooled = conv(z.mean((2, 3), keepdim=True)) if early else out.mean((2, 3), keepdim=True)
    gate = attention.gate(pooled.flatten(1))[:, :, None, None]
    out = out * gate if identity is None else torch.addcmul(identity, out, gate)
    return out.relu() if relu else out
