"""Releases of torch and numpy other than the tested one: without what they lack, or with what they have instead.

``tests/environments.py`` runs the tests with the real ones.
"""

import subprocess
import sys
from types import ModuleType
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from torch.nn.modules import module

import eca_mm
from eca_mm import compat
from eca_mm.models import ECAResNet
from tests.support import REPOSITORY


def test_forward_without_the_functions_of_newer_releases(monkeypatch):
    """torch 2.6 and 2.7 have no ``_has_any_global_hook``."""
    monkeypatch.delattr(module, '_has_any_global_hook', raising=False)
    assert ECAResNet(18)(torch.rand(2, 3, 32, 32))[0].shape == (2, 512, 1, 1)


@pytest.mark.parametrize('kind', ['forward_hook', 'forward_pre_hook', 'full_backward_hook', 'full_backward_pre_hook'])
def test_global_hooks_are_seen(kind):
    assert not compat.has_global_hooks()
    with getattr(module, f'register_module_{kind}')(lambda *_: None):
        assert compat.has_global_hooks()
    assert not compat.has_global_hooks()


def test_cpu_autocast_is_seen():
    assert not compat.is_cpu_autocast_enabled()
    with torch.autocast('cpu'):
        assert compat.is_cpu_autocast_enabled()


@pytest.mark.parametrize('version', ['1.23.5', '1.26.4', '2.4.1'])
def test_numpy_multiarray_by_version(version, monkeypatch):
    """numpy 1.26 has a package ``numpy._core`` that is empty until something imports from it."""
    core = 'numpy._core' if version >= '2' else 'numpy.core'
    found = ModuleType(f'{core}.multiarray')
    for name in ('numpy._core', 'numpy.core'):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, f'{name}.multiarray', None)
    monkeypatch.setitem(sys.modules, f'{core}.multiarray', found)
    monkeypatch.setattr(np, '__version__', version)
    assert compat.numpy_multiarray() is found


def test_a_failing_import_shows_its_reason(monkeypatch):
    """mmengine passes over ImportError and AttributeError when it imports ``eca_mm.registry``."""
    for error in (AttributeError("numpy._core has no attribute 'multiarray'"), ImportError('undefined symbol')):
        monkeypatch.setattr('eca_mm.import_module', Mock(side_effect=error))
        with pytest.raises(RuntimeError, match=f'eca_mm cannot be imported: {type(error).__name__}: {error}'):
            eca_mm._register()


def test_torch_is_never_replaced():
    """Of torch, torchvision and numpy any release satisfies pip."""
    project = pytest.importorskip('tomllib').loads((REPOSITORY / 'pyproject.toml').read_text())['project']
    required = [Requirement(text) for text in project['dependencies']]
    assert {'torch', 'torchvision', 'numpy'} <= {r.name for r in required}
    assert not [
        str(r) for r in required if r.name in ('torch', 'torchvision', 'numpy', 'opencv-python') and r.specifier
    ]


BLOCKED = """
import sys
for name in sys.argv[1].split(','):
    sys.modules[name] = None
"""


def run_without(modules, code):
    return subprocess.run(
        [sys.executable, '-c', BLOCKED + code, modules], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_layers_with_torch_alone():
    """And one sentence of the layer that extends mmcv's."""
    done = run_without(
        'mmengine,mmcv,mmdet,mmpretrain,torchvision',
        """
import torch
from eca_mm import ECALayer, GCLayer
print(tuple(ECALayer(8)(torch.rand(2, 8, 3, 3)).shape))
try:
    GCLayer(16)
except ImportError as error:
    print(error)
""",
    )
    assert done.stdout.splitlines() == ['(2, 8, 3, 3)', 'GCLayer needs mmcv: pip install onedl-mmcv'], done.stderr


@pytest.mark.slow
def test_import_without_modules_of_unix():
    """As on Windows: everything that does not train is imported."""
    done = run_without(
        'fcntl,resource,pwd,grp,termios',
        """
import eca_mm, eca_mm.datasets, eca_mm.export, eca_mm.engine
print('imported')
""",
    )
    assert done.stdout.splitlines()[-1:] == ['imported'], done.stderr
