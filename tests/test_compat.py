"""Releases of torch and numpy other than the tested one: without what they lack, or with what they have instead.

``tests/environments.py`` runs the tests with the real ones.
"""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn.modules import module

from eca_mm import compat
from eca_mm.models import ECAResNet


def test_forward_without_the_functions_of_newer_releases(monkeypatch):
    """torch 2.6 has no ``_has_any_global_hook``, 2.2 no ``torch.compiler.is_compiling``."""
    monkeypatch.delattr(module, '_has_any_global_hook', raising=False)
    monkeypatch.delattr(torch.compiler, 'is_compiling', raising=False)
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
