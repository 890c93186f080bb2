"""The passes of :mod:`eca_mm.models.ops.aten` as Triton kernels, for CUDA: float32, and float16 and bfloat16 computed in float32.

A program has a block of the channels of one image, and goes through all pixels in tiles; contiguous and channels_last differ
in the strides and the shape of the tile, so that neighbours in memory are always read together.
"""

# Triton's functions have no types that a type checker knows.
# mypy: disable-error-code="no-untyped-def,import-untyped"

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from eca_mm.models.ops.aten import dense

__all__ = ['affine', 'combine', 'dense', 'masked_sums', 'moments']


def _launch(kernel: Any, u: Tensor, *args: Any, **flags: Any) -> None:
    n, c, h, w = u.shape
    nhwc = not u.is_contiguous()
    # Elements from a channel to the next, and from a pixel to the next; channels and pixels of a tile.
    strides, tile = ((1, c), (32, 32)) if nhwc else ((h * w, 1), (1, 1024))
    kernel[n, triton.cdiv(c, tile[0])](*args, c, h * w, *strides, CHANNELS=tile[0], PIXELS=tile[1], **flags)


@triton.jit
def _channels(c, CHANNELS: tl.constexpr):  # noqa: N803
    """Of this program: their indices, whether they exist, and their places in a table (N, C)."""
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    return channel, channel < c, tl.program_id(0) * c + channel


@triton.jit
def _tile(start, channel, valid, c, pixels, sc, sp, PIXELS: tl.constexpr):  # noqa: N803
    """Addresses of the tile from a pixel on, relative to the tensor's, and which of them exist."""
    pixel = start + tl.arange(0, PIXELS)
    image = tl.program_id(0).to(tl.int64) * c * pixels
    return image + channel[:, None] * sc + pixel[None, :] * sp, valid[:, None] & (pixel < pixels)[None, :]


@triton.jit
def _moments(u, mean, var, c, pixels, sc, sp, CHANNELS: tl.constexpr, PIXELS: tl.constexpr, SECOND: tl.constexpr):  # noqa: N803
    channel, valid, place = _channels(c, CHANNELS)
    total = tl.zeros((CHANNELS, PIXELS), tl.float32)
    for start in range(0, pixels, PIXELS):
        at, there = _tile(start, channel, valid, c, pixels, sc, sp, PIXELS)
        total += tl.load(u + at, mask=there, other=0.0).to(tl.float32)
    m = tl.sum(total, 1) / pixels
    tl.store(mean + place, m, mask=valid)
    if SECOND:  # once more, and from the cache: the difference of two sums would cancel
        total = tl.zeros((CHANNELS, PIXELS), tl.float32)
        for start in range(0, pixels, PIXELS):
            at, there = _tile(start, channel, valid, c, pixels, sc, sp, PIXELS)
            deviation = tl.where(there, tl.load(u + at, mask=there, other=0.0).to(tl.float32) - m[:, None], 0.0)
            total += deviation * deviation
        tl.store(var + place, tl.sum(total, 1) / pixels, mask=valid)


@triton.jit
def _affine(
    u, a, b, identity, out, c, pixels, sc, sp,
    CHANNELS: tl.constexpr, PIXELS: tl.constexpr, SUM: tl.constexpr, RELU: tl.constexpr,  # noqa: N803
):  # fmt: skip
    channel, valid, place = _channels(c, CHANNELS)
    a = tl.load(a + place, mask=valid, other=0.0)[:, None]
    b = tl.load(b + place, mask=valid, other=0.0)[:, None]
    for start in range(0, pixels, PIXELS):
        at, there = _tile(start, channel, valid, c, pixels, sc, sp, PIXELS)
        y = a * tl.load(u + at, mask=there, other=0.0).to(tl.float32) + b
        if SUM:
            y += tl.load(identity + at, mask=there, other=0.0).to(tl.float32)
        if RELU:
            y = tl.maximum(y, 0.0)
        tl.store(out + at, y.to(out.dtype.element_ty), mask=there)


@triton.jit
def _masked_sums(
    g, y, u, mean, masked, dot, total, c, pixels, sc, sp,
    CHANNELS: tl.constexpr, PIXELS: tl.constexpr, RELU: tl.constexpr,  # noqa: N803
):  # fmt: skip
    channel, valid, place = _channels(c, CHANNELS)
    m = tl.load(mean + place, mask=valid, other=0.0)
    dots = tl.zeros((CHANNELS, PIXELS), tl.float32)
    totals = tl.zeros((CHANNELS, PIXELS), tl.float32)
    for start in range(0, pixels, PIXELS):
        at, there = _tile(start, channel, valid, c, pixels, sc, sp, PIXELS)
        gradient = tl.load(g + at, mask=there, other=0.0).to(tl.float32)
        if RELU:
            gradient = tl.where(tl.load(y + at, mask=there, other=0.0) > 0, gradient, 0.0)
            tl.store(masked + at, gradient.to(masked.dtype.element_ty), mask=there)
        dots += gradient * (tl.load(u + at, mask=there, other=0.0).to(tl.float32) - m[:, None])
        totals += gradient
    t = tl.sum(totals, 1)
    tl.store(dot + place, tl.sum(dots, 1) + m * t, mask=valid)
    tl.store(total + place, t, mask=valid)


@triton.jit
def _combine(
    g, p, u, q, r, out, c, pixels, sc, sp, CHANNELS: tl.constexpr, PIXELS: tl.constexpr, SECOND: tl.constexpr  # noqa: N803
):  # fmt: skip
    channel, valid, place = _channels(c, CHANNELS)
    p = tl.load(p + place, mask=valid, other=0.0)[:, None]
    r = tl.load(r + place, mask=valid, other=0.0)[:, None]
    if SECOND:
        q = tl.load(q + place, mask=valid, other=0.0)[:, None]
    for start in range(0, pixels, PIXELS):
        at, there = _tile(start, channel, valid, c, pixels, sc, sp, PIXELS)
        du = p * tl.load(g + at, mask=there, other=0.0).to(tl.float32) + r
        if SECOND:
            du += q * tl.load(u + at, mask=there, other=0.0).to(tl.float32)
        tl.store(out + at, du.to(out.dtype.element_ty), mask=there)


def _table(u: Tensor) -> Tensor:
    return torch.empty(u.shape[:2], dtype=torch.float32, device=u.device)


def moments(u: Tensor, second: bool) -> tuple[Tensor, Tensor | None]:
    mean, var = _table(u), _table(u) if second else None
    _launch(_moments, u, u, mean, var, SECOND=second)
    return mean, var


def affine(u: Tensor, a: Tensor, b: Tensor, identity: Tensor | None, relu: bool, out: Tensor) -> Tensor:
    if identity is not None and identity.stride() != u.stride():
        identity = torch.empty_like(u).copy_(identity)
    _launch(_affine, u, u, a.contiguous(), b.contiguous(), identity, out, SUM=identity is not None, RELU=relu)
    return out


def masked_sums(g: Tensor, y: Tensor | None, u: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    g = g if g.stride() == u.stride() else torch.empty_like(u).copy_(g)
    masked = g if y is None else torch.empty_like(u)
    dot, total = _table(u), _table(u)
    _launch(_masked_sums, u, g, y, u, mean, masked, dot, total, RELU=y is not None)
    return masked, dot, total


def combine(g: Tensor, p: Tensor, u: Tensor, q: Tensor | None, r: Tensor) -> Tensor:
    out = torch.empty_like(u)
    p, r = p.contiguous(), r.contiguous()
    _launch(_combine, u, g, p, u, None if q is None else q.contiguous(), r, out, SECOND=q is not None)
    return out
