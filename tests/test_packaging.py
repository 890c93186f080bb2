"""The package as a guest in somebody's environment, and the doctor."""

import importlib.metadata
import os
import shutil
import subprocess
import sys

import pytest
from mmengine.config import Config

import eca_mm
from tests.conftest import REPOSITORY

OPENMMLAB = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'onedl')


def run(*command, **kwargs):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, **kwargs)


def test_no_openmmlab_distribution_is_required():
    required = importlib.metadata.requires('eca-net-mm') or []
    plain = [r for r in required if 'extra ==' not in r]
    assert plain and not [r for r in plain if r.startswith(OPENMMLAB)]
    assert not [r for r in plain if '==' in r]  # wide ranges
    for extra in ('onedl', 'openmmlab'):
        assert sum(r.startswith(OPENMMLAB) for r in required if f'"{extra}"' in r.replace("'", '"')) == 4


def test_needs_no_mmdet_for_the_backbones():
    program = """
import sys
sys.modules['mmdet'] = sys.modules['pycocotools'] = None  # imports of them fail
from mmpretrain.registry import MODELS
MODELS.build(dict(type='eca_mm.ECAResNet', depth=18))
"""
    process = run(sys.executable, '-c', program)
    assert process.returncode == 0, process.stderr


def test_setup_py_knows_the_version():
    process = run(sys.executable, 'setup.py', '--version', cwd=REPOSITORY)
    if 'No module named' in process.stderr:
        pytest.skip('no setuptools in this environment')
    assert process.stdout.strip().splitlines()[-1] == eca_mm.__version__


def test_wheel(tmp_path):
    """`pip install .` from a copy: all modules, the type marker, the configs, the page and the measured speeds."""
    if shutil.which('uv') is None:
        pytest.skip('no uv to build with')
    source = shutil.copytree(
        REPOSITORY, tmp_path / 'source', symlinks=True,
        ignore=shutil.ignore_patterns('.venv*', 'work_dirs', 'data', '.git', '*.egg-info', 'build', 'checkpoints.d'),
    )  # fmt: skip
    process = run('uv', 'pip', 'install', '--no-deps', '--target', tmp_path / 'site', source)
    assert process.returncode == 0, process.stderr
    modules = {f.relative_to(REPOSITORY) for f in (REPOSITORY / 'eca_mm').rglob('*.py')}
    installed = {f.relative_to(tmp_path / 'site') for f in (tmp_path / 'site/eca_mm').rglob('*.py')}
    assert modules <= installed
    assert (tmp_path / 'site/eca_mm/py.typed').exists()
    configs = {f.relative_to(REPOSITORY) for f in (REPOSITORY / 'configs').rglob('*.py')}
    assert all((tmp_path / 'site/eca_mm/.mim' / f).is_file() for f in configs)
    data = [f for f in (REPOSITORY / 'eca_mm/paper').rglob('*') if f.suffix in ('.html', '.css', '.js', '.csv')]
    assert len(data) >= 4 and all((tmp_path / 'site' / f.relative_to(REPOSITORY)).is_file() for f in data)
    assert not (tmp_path / 'site/tests').exists()


def test_configs_of_other_projects_inherit_ours(tmp_path):
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'eca_mm::imagenet/eca_resnet101.py'\nmodel = dict(backbone=dict(depth=152))"
    )
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert (cfg.model.backbone.type, cfg.model.backbone.depth) == ('eca_mm.ECAResNet', 152)
    assert cfg.images_per_step == 256


def doctor(tmp_path, **env):
    return run(sys.executable, REPOSITORY / 'tools/doctor.py', env={**os.environ, **env}, cwd=tmp_path)


class TestDoctor:
    def test_a_healthy_environment(self, tmp_path):
        process = doctor(tmp_path)
        assert process.returncode == 0, process.stdout
        assert 'Training can run.' in process.stdout and 'FAIL' not in process.stdout
        assert importlib.metadata.version('torch') in process.stdout

    def test_a_broken_package(self, tmp_path):
        (tmp_path / 'mmcv').mkdir()
        (tmp_path / 'mmcv/__init__.py').write_text('raise ImportError("libcudart.so.99: cannot open")')
        process = doctor(tmp_path, PYTHONPATH=str(tmp_path))
        assert process.returncode == 1
        assert 'libcudart.so.99' in process.stdout and 'training cannot run' in process.stdout
        assert 'Traceback' not in process.stderr

    def test_two_distributions_of_one_package(self, tmp_path):
        info = tmp_path / 'mmcv_lite-2.1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmcv-lite\nVersion: 2.1.0\n')
        process = doctor(tmp_path, PYTHONPATH=str(tmp_path))
        assert process.returncode == 1
        assert 'overwrite each other: pip uninstall' in process.stdout

    def test_an_untested_version(self, tmp_path):
        info = tmp_path / 'pycocotools-99.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: pycocotools\nVersion: 99.0\n')
        process = doctor(tmp_path, PYTHONPATH=str(tmp_path))
        assert process.returncode == 0 and 'tested with 2.0.6 to below 2.1' in process.stdout
