"""The kernels for GPUs, without one: in Triton's interpreter against torch's operators, and compiled for an H100."""

import os
import subprocess
import sys

import pytest

from tests.support import REPOSITORY, succeeded

pytest.importorskip('triton')


def test_kernels_agree_with_torch():
    process = subprocess.run(
        [sys.executable, REPOSITORY / 'tests/models/interpreted.py'],
        env={**os.environ, 'TRITON_INTERPRET': '1'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert succeeded(process) == '12 cases agree\n'


@pytest.mark.parametrize('dtype', ['fp32', 'bf16'])
@pytest.mark.parametrize('kernel', ['_moments', '_affine', '_masked_sums', '_combine'])
def test_kernels_compile(kernel, dtype, monkeypatch, tmp_path):
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from eca_mm.models.ops import triton_passes

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    function = getattr(triton_passes, kernel)
    tables = {'mean', 'var', 'a', 'b', 'p', 'q', 'r', 'dot', 'total'}
    integers = {'c', 'pixels', 'sc', 'sp'}
    for channels, pixels in ((1, 1024), (32, 32)):
        constants = dict(CHANNELS=channels, PIXELS=pixels, SECOND=True, SUM=True, RELU=True)
        types = {
            name: 'constexpr' if name in constants
            else 'i32' if name in integers
            else '*fp32' if name in tables
            else f'*{dtype}'
            for name in function.arg_names
        }  # fmt: skip
        values = {(i,): constants[name] for i, name in enumerate(function.arg_names) if name in constants}
        compiled = compile(ASTSource(function, types, values), target=GPUTarget('cuda', 90, 32))
        assert compiled.asm['cubin']
