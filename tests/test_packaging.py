"""The package as a guest in somebody's environment, and the doctor."""

import contextlib
import importlib.metadata
import os
import pty
import re
import runpy
import shutil
import subprocess
import sys

import pytest
from mmengine.config import Config

import eca_mm
from tests.support import REPOSITORY

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


def test_needs_no_mmpretrain_for_the_layers():
    """mmengine would swallow an ImportError, and report that it cannot find `None`."""
    program = """
import sys
sys.modules['mmpretrain'] = None
from mmdet.registry import MODELS
plugin = dict(cfg=dict(type='eca_mm.ECALayer'), stages=(True,) * 4, position='after_conv3')
backbone = MODELS.build(dict(type='mmdet.ResNet', depth=50, plugins=[plugin]))
assert sum('.eca.' in name for name in backbone.state_dict()) == 16
from eca_mm.models import *
ECALayer
"""
    process = run(sys.executable, '-c', program)
    assert process.returncode == 0, process.stderr
    assert 'UserWarning: eca_mm has its layers, but no backbones: mmpretrain does not import' in process.stderr


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


@pytest.mark.parametrize('uv', ['1', ''])
@pytest.mark.parametrize('compiled', [True, False])
def test_setup_py_tells_of_the_compilation(uv, compiled, tmp_path):
    """On the terminal, also where the output goes elsewhere; with uv only, and before it is done only."""
    if compiled:
        (tmp_path / 'lib/python3.11/site-packages/mmcv').mkdir(parents=True)
    env = {**os.environ, 'UV': uv, 'UV_PROJECT_ENVIRONMENT': str(tmp_path)}
    command = [sys.executable, 'setup.py', 'dist_info', '--help']
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(REPOSITORY)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        os.execve(command[0], command, env)
    shown = b''
    with contextlib.suppress(OSError):  # the end of a terminal, on Linux
        while part := os.read(terminal, 1024):
            shown += part
    os.close(terminal), os.waitpid(process, 0)
    assert (b'about 5 minutes on 2 cores' in shown) == (bool(uv) and not compiled)


@pytest.mark.parametrize('folder', ['configs', 'eca_mm/.mim/configs'])
def test_configs_are_inherited_by_path_without_importing_us(folder, tmp_path):
    names = ('faster_rcnn_eca_r50_fpn_1x', 'imagenet/eca_resnet50')
    for i, name in enumerate(names):
        base = f"_base_ = '{REPOSITORY / folder / name}.py'"
        (tmp_path / f'mine{i}.py').write_text(f'{base}\nmodel = dict(backbone=dict(depth=101))')
    program = """
import sys
from mmengine.config import Config
for path in sys.argv[1:]:
    assert 'eca_mm' not in sys.modules
    cfg = Config.fromfile(path, import_custom_modules=False)
    print(cfg.model.backbone.type, cfg.model.backbone.depth, cfg.images_per_step)
"""
    process = run(sys.executable, '-c', program, *(tmp_path / f'mine{i}.py' for i in range(2)))
    assert process.stdout.splitlines() == ['eca_mm.ECAResNet 101 8', 'eca_mm.ECAResNet 101 256'], process.stderr


def test_configs_are_inherited_by_name_after_importing_us(tmp_path):
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

    def test_what_only_training_needs(self, tmp_path):
        """Every config's TensorBoard, and masks, whose package imports even where its compiled part is missing."""
        for module in ('tensorboard', 'pycocotools'):
            (tmp_path / module).mkdir()
            (tmp_path / module / '__init__.py').touch()
        (tmp_path / 'tensorboard/__init__.py').write_text('raise ImportError("no protobuf")')
        process = doctor(tmp_path, PYTHONPATH=str(tmp_path))
        assert process.returncode == 1 and 'training cannot run' in process.stdout
        assert re.search(r'FAIL +TensorBoard +ImportError: no protobuf\n', process.stdout)
        assert re.search(r'FAIL +pycocotools +ImportError', process.stdout)

    def test_two_distributions_of_one_package(self, tmp_path):
        info = tmp_path / 'mmcv_lite-2.1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmcv-lite\nVersion: 2.1.0\n')
        process = doctor(tmp_path, PYTHONPATH=str(tmp_path))
        assert process.returncode == 1
        assert 'overwrite each other: pip uninstall' in process.stdout

    def test_an_untested_version(self, tmp_path):
        info = tmp_path / 'torchvision-0.28.1.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.1\n')
        process = doctor(tmp_path, PYTHONPATH=str(tmp_path))
        assert process.returncode == 0 and 'untested: tried was torchvision 0.28.0' in process.stdout

    def test_the_tried_versions_are_those_of_the_readme(self):
        readme = (REPOSITORY / 'README.md').read_text()
        rows = re.findall(r'^\| (?:onedl|originals) ([\d., ]+) \| ([\d., ]+) \|', readme, re.MULTILINE)
        modules = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'torch', 'torchvision')
        expected = {pair for row in rows for pair in zip(modules, ', '.join(row).split(', '), strict=True)}
        doctor = runpy.run_path(str(REPOSITORY / 'tools/doctor.py'))
        tried = {
            (module, version)
            for module, distributions in doctor['PACKAGES'].items()
            for versions in distributions.values()
            for version in versions
        }
        assert len(rows) >= 2 and tried == expected
        assert re.findall(r'CPython ([\d.]+\d)', readme) == list(doctor['PYTHON'])
