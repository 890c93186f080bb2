"""The public front: what ``import eca_mm`` offers, and when it imports it."""

import importlib
import inspect
import re
import subprocess
import sys

import pytest

import eca_mm
from tests.support import REPOSITORY, succeeded


def test_every_public_name_is_there_and_documented():
    documented = set(re.findall(r'^::: [\w.]+\.(\w+)$', (REPOSITORY / 'docs/api.md').read_text(), re.MULTILINE))
    names = set(eca_mm.__all__) - {'__version__'}
    assert names >= {'ECALayer', 'ECAResNet', 'UserError', 'evaluate', 'export', 'fuse_for_inference', 'load_config'}
    assert names >= {'load_model', 'predict', 'train'} and names <= set(dir(eca_mm))
    assert names - documented <= {'UserError'}  # which is in the module of errors
    for name in names:
        assert callable(getattr(eca_mm, name))
    with pytest.raises(AttributeError, match='nothing'):
        eca_mm.nothing  # noqa: B018


def test_types_are_those_of_the_lazy_names():
    """What type checkers are told of is what is there."""
    told = re.findall(
        r'^    from ([\w.]+) import (\w+) as', (REPOSITORY / 'eca_mm/__init__.py').read_text(), re.MULTILINE
    )
    assert {name for _, name in told} == set(eca_mm._PACKAGES)
    for module, name in told:
        assert getattr(eca_mm, name) is getattr(importlib.import_module(module), name) or name == 'export'


def test_export_is_a_function_and_a_package():
    module = importlib.import_module('eca_mm.export')
    assert 'checkpoint' in inspect.signature(eca_mm.export).parameters
    assert module.release and module.export.__module__ == 'eca_mm.export.network_file'


def test_importing_registers_and_does_nothing_else(tmp_path):
    """The engine, checkpoints and exports are imported when they are asked for; submodules are attributes."""
    program = """
import os, signal, sys
environment, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
import eca_mm
from mmengine.registry import MODELS
assert {'ECALayer', 'ECAResNet'} <= set(MODELS.module_dict)
assert not {'eca_mm.engine', 'eca_mm.export', 'eca_mm.convert', 'mmdet', 'mmpretrain'} & set(sys.modules)
of_others = ('KMP_', 'TORCHINDUCTOR_', 'LD_LIBRARY_PATH')  # torch's and OpenCV's
changed = {k for k, v in os.environ.items() if environment.get(k) != v and not k.startswith(of_others)}
assert not changed, changed
assert signal.getsignal(signal.SIGTERM) is handler
assert eca_mm.errors.UserError is eca_mm.UserError
"""
    succeeded(
        subprocess.run([sys.executable, '-c', program], cwd=tmp_path, capture_output=True, text=True, check=False)
    )
