"""Configs of the package by their names, and the list of them."""

import subprocess
import sys
import zipfile

import pytest

from eca_mm.configs import describe_configs, find_config
from eca_mm.engine import load_config
from eca_mm.errors import MissingFileError
from eca_mm.paths import CONFIGS
from tests.support import REPOSITORY


@pytest.mark.parametrize(
    'name', ['eca_resnet50', 'imagenet/eca_resnet50', 'configs/imagenet/eca_resnet50.py', 'eca_resnet50.py']
)
def test_a_name_is_enough(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == CONFIGS / 'imagenet/eca_resnet50.py'
    cfg = load_config(name)
    assert (cfg.model.backbone.type, cfg.work_dir) == ('eca_mm.ECAResNet', 'work_dirs/eca_resnet50')


def test_a_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'eca_resnet50.py').touch()
    assert find_config('eca_resnet50.py').resolve() == tmp_path / 'eca_resnet50.py'
    assert find_config('eca_resnet50') == CONFIGS / 'imagenet/eca_resnet50.py'


@pytest.mark.parametrize(
    ('name', 'near'),
    [
        ('faster_rcnn_eca_r50_fpn_2x', 'faster_rcnn_eca_r50_fpn_1x'),
        ('eca_resnet51', 'imagenet/eca_resnet50'),
        ('?', 'eca-mm'),
    ],
)
def test_close_names(name, near, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError, match='config not found') as error:
        find_config(name)
    assert name in str(error.value) and near in str(error.value)


def test_every_config_is_listed_once_and_found_by_its_name():
    described = {config.name: config for config in describe_configs()}
    files = {f for f in (REPOSITORY / 'configs').rglob('*.py') if '_base_' not in f.relative_to(REPOSITORY).as_posix()}
    assert {REPOSITORY / f'configs/{name}.py' for name in described} == files
    for name, config in described.items():
        assert find_config(name) == find_config(name.rpartition('/')[2]) == CONFIGS / f'{name}.py'
        assert config.title
    ours = (
        'faster_rcnn_se_r50_fpn_1x',
        'faster_rcnn_eca_r50_fpn_1x',
        'faster_rcnn_eca_r50d_fpn_1x',
        'imagenet/resnet50',
    )
    for name in ours:  # those that mmengine finds
        assert described[name].weights == load_config(name).get('backbone_weights')


def test_the_list(in_process, refuse):
    screen = in_process('configs', 'faster_rcnn_eca_r50_fpn')
    assert 'faster_rcnn_eca_r50_fpn_1x\n    Faster R-CNN' in screen and 'Table 4: AP 38.0' in screen
    assert 'starts from checkpoints/eca_resnet50.pth\n' in screen and 'eca_resnet50_k3557' in screen
    assert 'mask_rcnn' not in screen
    assert "'nothing like it'" in refuse('configs', 'nothing like it')


def test_a_wheel_of_a_clone_without_links(tmp_path):
    """Git writes a link's target into a text file where it may not make links; a zip download has that, too."""
    ignored = subprocess.run(['git', 'ls-files', 'eca_mm', 'configs', 'tools', 'setup.py', 'pyproject.toml', 'README.md'],
                             cwd=REPOSITORY, capture_output=True, text=True, check=False)  # fmt: skip
    if ignored.returncode:
        pytest.skip('not a git clone')
    for name in ignored.stdout.split():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = REPOSITORY / name
        target.write_bytes(b'../../configs' if source.is_symlink() else source.read_bytes())
    build = 'from setuptools import build_meta; print(build_meta.build_wheel("dist"))'
    process = subprocess.run([sys.executable, '-c', build], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    with zipfile.ZipFile(next((tmp_path / 'dist').glob('*.whl'))) as wheel:
        names = set(wheel.namelist())
    expected = {f.relative_to(REPOSITORY).as_posix() for f in (REPOSITORY / 'configs').rglob('*') if f.is_file()}
    assert {f'eca_mm/.mim/{name}' for name in expected if name.endswith(('.py', '.yml'))} <= names
    assert {'eca_mm/cli/train.py', 'eca_mm/.mim/tools/train.py', 'eca_mm/py.typed'} <= names
