import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before torch starts: pytest runs two processes
import eca_mm  # noqa: F401  (registers everything)
from eca_mm.datasets.shapes import draw_shapes
from eca_mm.engine.restored import restored_globals
from tests.support import COCO_TINY, REPOSITORY, quietly, train_shortly

signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # which a shell has ignored in what it starts in the background


def pytest_collection_modifyitems(items):
    """The long ones first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: not item.get_closest_marker('slow'))


@pytest.fixture(autouse=True)
def mmengine_globals():
    """No default scope, visualizer, logger or message hub of an earlier test: which share a process changes from run to run."""
    with restored_globals():
        yield


@pytest.fixture(autouse=True)
def mmengine_without_waiting(monkeypatch):
    """Of the seconds that a short run takes, most go into laying out its config four times and collecting garbage."""
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, False))
    monkeypatch.setattr('mmengine.dataset.base_dataset.gc', SimpleNamespace(collect=int))


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
def in_process(monkeypatch, tmp_path, capsys, shapes_root):
    """Runs a tool in this process (the imports take longest) and in an empty folder; returns what it printed."""

    def run(name, *args):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv('SHAPES_ROOT', str(shapes_root))
        monkeypatch.setattr('sys.argv', [name, *map(str, args)])
        quietly(REPOSITORY / 'tools' / f'{name}.py')
        return capsys.readouterr().out

    return run


@pytest.fixture
def refuse(in_process, capsys):
    """Runs a tool in this process and returns the one sentence with which it must end."""

    def run(name, *args):
        with pytest.raises(SystemExit) as end:
            in_process(name, *args)
        code, printed = end.value.code, capsys.readouterr().err
        sentence = code if isinstance(code, str) else printed.strip().splitlines()[-1]
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


@pytest.fixture(scope='session')
def classifier(tmp_path_factory, imagenet_root):
    """A config of a small classifier: our ImageNet recipe with 32 pictures of 32 x 32 pixels and 8 images per step.

    Batch norm is frozen, so that any split of the batch computes the same, and its random statistics are meant.
    """
    file = tmp_path_factory.mktemp('configs') / 'classifier.py'
    file.write_text(f"""
_base_ = {str(REPOSITORY / 'configs/imagenet/eca_resnet50.py')!r}
images_per_step = 8
model = dict(
    backbone=dict(
        depth=18, kernel_size=3, norm_eval=True, frozen_stages=0, init_cfg=dict(type='Kaiming', layer='Conv2d')
    ),
    head=dict(in_channels=512, topk=(1, 5)),
)
pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]
data = dict(data_root={str(imagenet_root)!r}, indices=32, pipeline=pipeline)
train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=4, val_interval=4)
param_scheduler = dict(milestones=[2])
optim_wrapper = dict(optimizer=dict(lr=0.001))
""")
    return file


@pytest.fixture
def trained(classifier, tmp_path):
    """Trains the classifier, shortly; returns the summary."""

    def run(work='work', config=classifier, **changes):
        return train_shortly(config, tmp_path / work, **changes)

    return run
