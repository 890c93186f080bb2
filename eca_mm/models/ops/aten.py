"""The passes over whole feature maps in torch's own operators, for CPUs: float32 and float64, contiguous or channels_last.

Those that read u (N, C, H, W) once are made of kernels of batch norm: seen as one image of N C channels (contiguous) or image
by image (channels_last), its statistics and gradients are sums per image and channel, vectorised and in double precision.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

aten = torch.ops.aten


def _columns(t: Tensor) -> Tensor:
    """(N, C) to (N, C, 1, 1)."""
    return t[:, :, None, None]


def _dot(g: Tensor, u: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """``sum(g (u - mean))`` and ``sum(g)`` over each channel of each image, (N, C); mean is (N, C)."""
    n, c, h, w = u.shape
    if u.is_contiguous():
        parts = [(g.view(1, n * c, h, w), u.view(1, n * c, h, w), mean.flatten())]
    else:
        parts = list(zip(g.split(1), u.split(1), mean, strict=True))
    dots, totals = [], []
    for gi, ui, mi in parts:
        one, mask = torch.ones_like(mi), [False, True, True]  # the gradients of a norm with variance 1
        _, dot, total = aten.native_batch_norm_backward(gi, ui, one, mi, one, None, None, False, 0.0, mask)
        dots.append(dot)
        totals.append(total)
    return torch.cat(dots).view(n, c), torch.cat(totals).view(n, c)


def dense(u: Tensor) -> Tensor:
    """``u`` itself if its layout is contiguous or channels_last, or else a contiguous copy."""
    return u if u.is_contiguous(memory_format=torch.channels_last) else u.contiguous()


def moments(u: Tensor, second: bool) -> tuple[Tensor, Tensor | None]:
    """Mean and, if asked for, biased variance of each channel of each image, (N, C)."""
    n, c, h, w = u.shape
    if second and not u.is_contiguous():
        return _welford(u.split(1))
    mean = u.mean((2, 3))
    if not second:
        return mean, None
    # As sum(u (u - mean)), in a third of the time of batch norm's own statistics; but the mean's rounding comes times mean.
    var = _dot(u, u, mean)[0] / (h * w)
    if (mean.square() > 100 * var).any():
        mean, var = (t.view(n, c) for t in _welford([u.view(1, n * c, h, w)]))
    return mean, var


def _welford(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    means, variances = zip(*(torch.batch_norm_update_stats(x, None, None, 0.0) for x in images), strict=True)
    return torch.stack(means), torch.stack(variances)


def affine(u: Tensor, a: Tensor, b: Tensor, identity: Tensor | None, relu: bool, out: Tensor) -> Tensor:
    """``out = a u + b + identity``, the ReLU of it if asked for; ``out`` may be ``u``. a and b are (N, C)."""
    if identity is None:
        torch.addcmul(_columns(b), u, _columns(a), out=out)
        return out.relu_() if relu else out
    torch.addcmul(identity, u, _columns(a), out=out)
    return add_relu_(out, b) if relu else out.add_(_columns(b))


def add_relu_(y: Tensor, b: Tensor) -> Tensor:
    """``ReLU(y + b)`` in place; b is (N, C)."""
    return aten._add_relu_(y, _columns(b))


def masked(g: Tensor, y: Tensor | None, like: Tensor) -> Tensor:
    """``g`` where the output y of the ReLU is positive, or all of it without a ReLU, in the layout of ``like``."""
    if y is None:
        return g if g.stride() == like.stride() else torch.empty_like(like).copy_(g)
    return aten.threshold_backward.grad_input(g, y, 0, grad_input=torch.empty_like(like))


def masked_sums(g: Tensor, y: Tensor | None, u: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`masked` g; and ``sum(g u)`` and ``sum(g)`` of that over each channel of each image, (N, C)."""
    g = masked(g, y, u)
    dot, total = _dot(g, u, mean)
    return g, dot + mean * total, total


def combine(g: Tensor, p: Tensor, u: Tensor, q: Tensor | None, r: Tensor) -> Tensor:
    """``p g + q u + r`` in a new tensor; p, q and r are (N, C)."""
    if q is None:
        return torch.addcmul(_columns(r), g, _columns(p))
    return torch.addcmul(_columns(r), u, _columns(q)).addcmul_(g, _columns(p))


def matrix_product(start: Tensor, left: Tensor, z: Tensor) -> Tensor:
    """``left z + start`` for each image and pixel: left is (N, C, K), z (N, K, H, W), start (N, C, H, W)."""
    n, _, h, w = z.shape
    if z.is_contiguous():
        return torch.baddbmm(start.flatten(2), left, z.flatten(2)).view(n, -1, h, w)
    rows = torch.baddbmm(_pixels(start), _pixels(z), left.mT)
    return rows.view(n, h, w, -1).permute(0, 3, 1, 2)


def outer_product(g: Tensor, z: Tensor) -> Tensor:
    """``sum(g z^T)`` over the pixels of each image: (N, C, K) from (N, C, H, W) and (N, K, H, W)."""
    if z.is_contiguous():
        return g.flatten(2) @ z.flatten(2).mT
    return _pixels(g).mT @ _pixels(z)


def _pixels(t: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H W, C), a view if the memory format is channels_last."""
    return t.permute(0, 2, 3, 1).flatten(1, 2)
