import os
import subprocess
import sys
from collections import OrderedDict

import cv2
import numpy as np
import pytest

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before torch starts: pytest runs two processes
from mmengine.registry import DefaultScope

import eca_mm  # noqa: F401  (registers everything)
from eca_mm.datasets.shapes import draw_shapes
from tests.support import COCO_TINY, REPOSITORY, quietly


def pytest_collection_modifyitems(items):
    """The long ones first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: not item.get_closest_marker('slow'))


@pytest.fixture(autouse=True)
def default_scope(monkeypatch):
    """None, whatever a Runner of an earlier test set: which tests share a process changes from run to run."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())


@pytest.fixture(scope='session')
def shapes_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'shapes'
    draw_shapes(root)
    return root


@pytest.fixture(scope='session')
def coco_root():
    if not COCO_TINY.is_dir():
        pytest.skip(f'no COCO subset at {COCO_TINY}; the variable COCO_TINY names another place')
    return COCO_TINY


@pytest.fixture
def refuse(monkeypatch, tmp_path, shapes_root, capsys):
    """Runs a tool in this process (the imports take longest) and returns the one sentence with which it must end."""

    def run(name, *args, **env):
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(REPOSITORY / 'tools')
        for key, value in {'SHAPES_ROOT': str(shapes_root), **env}.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setattr('sys.argv', [name, *map(str, args)])
        with pytest.raises(SystemExit) as end:
            quietly(REPOSITORY / 'tools' / f'{name}.py')
        for key in env:
            monkeypatch.delenv(key)
        sentence = (
            end.value.code if isinstance(end.value.code, str) else capsys.readouterr().err.strip().splitlines()[-1]
        )
        assert 'error: ' in sentence and '\n' not in sentence
        return sentence

    return run


@pytest.fixture
def run_tool(shapes_root, tmp_path):
    """Runs a tool in an empty folder, as a user does; returns the finished process."""

    def run(name, *args, launcher=(), **env):
        return subprocess.run(
            [sys.executable, *launcher, REPOSITORY / 'tools' / f'{name}.py', *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, 'SHAPES_ROOT': str(shapes_root), **env},
            capture_output=True,
            text=True,
            timeout=1800,
        )

    return run


@pytest.fixture(scope='session')
def imagenet_root(tmp_path_factory):
    """ImageNet's layout with its thousand classes, one small picture each."""
    root = tmp_path_factory.mktemp('imagenet')
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for i in range(1000):
            folder = root / split / f'n{i:08d}'
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / f'{i}.png'), rng.integers(0, 256, (40, 48, 3), np.uint8))
    return root
