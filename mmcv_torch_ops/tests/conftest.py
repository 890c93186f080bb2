import sys

import pytest

from mmcv_torch_ops import extension, in_use

collect_ignore = ['benchmark.py', 'record.py', 'run_upstream.py']  # scripts; --doctest-modules would import them


@pytest.fixture
def stand_in(monkeypatch):
    """mmcv.ops calls the stand-in, in an environment with compiled operators too."""
    for name, module in list(sys.modules.items()):
        if name.startswith('mmcv.ops.') and hasattr(module, 'ext_module'):
            monkeypatch.setattr(module, 'ext_module', extension)


@pytest.fixture
def compiled():
    if in_use() != 'compiled':
        pytest.skip("this environment's mmcv has no compiled operators to compare with")
