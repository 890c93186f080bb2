"""The Triton kernels in Triton's interpreter, on the CPU: run with TRITON_INTERPRET=1 by test_triton.py."""

import itertools

import torch

from eca_mm.models.ops import aten, triton_passes

draw = torch.Generator().manual_seed(0)
LAYOUTS = torch.contiguous_format, torch.channels_last
SHAPES = (2, 5, 3, 4), (1, 40, 7, 6), (1, 1, 33, 33)  # more channels, or pixels, than a tile has
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def close(got, expected, dtype):
    for a, b in zip(got, expected, strict=True):
        if b is not None:
            tolerance = TOLERANCES[dtype]
            torch.testing.assert_close(
                a.to(b.dtype), b, rtol=tolerance, atol=tolerance * b.abs().max().clamp(min=1).item()
            )


def main():
    cases = 0
    for shape, layout, on in itertools.product(SHAPES, LAYOUTS, (True, False)):
        dtype = list(TOLERANCES)[cases % 3]
        tensors = [torch.randn(shape, generator=draw).to(dtype).contiguous(memory_format=layout) for _ in range(4)]
        u, identity, g, y = tensors
        a, b, q = (torch.randn(shape[:2], generator=draw) for _ in range(3))
        exact = [t.double() for t in (*tensors, a, b, q)]
        eu, ei, eg, ey, ea, eb, eq = exact
        close(triton_passes.moments(u, on), aten.moments(eu, on), dtype)
        mean = eu.mean((2, 3))
        for other in (identity, None):
            got = triton_passes.affine(u, a, b, other, on, torch.empty_like(u))
            close([got], [aten.affine(eu, ea, eb, None if other is None else ei, on, torch.empty_like(eu))], dtype)
            assert got.stride() == u.stride()
        got = triton_passes.masked_sums(g, y if on else None, u, mean.float())
        close(got, aten.masked_sums(eg, ey if on else None, eu, mean), dtype)
        got = triton_passes.combine(g, a, u, q if on else None, b)
        close([got], [aten.combine(eg, ea, eu, eq if on else None, eb)], dtype)
        cases += 1
    print(f'{cases} cases agree')


if __name__ == '__main__':
    main()
