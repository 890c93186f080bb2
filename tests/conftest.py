import os
import subprocess
import sys
from pathlib import Path

import pytest

import eca_mm  # noqa: F401  (registers everything)
from eca_mm.datasets.shapes import draw_shapes

REPOSITORY = Path(__file__).parents[1]
COCO_TINY = Path(os.environ.get('COCO_TINY', REPOSITORY.parent / 'shared/data/coco_tiny'))


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
def run_tool(shapes_root, tmp_path):
    """Runs a tool in an empty folder, as a user does; returns the finished process."""

    def run(name, *args, launcher=(), **env):
        return subprocess.run(
            [sys.executable, *launcher, REPOSITORY / 'tools' / f'{name}.py', *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, 'SHAPES_ROOT': str(shapes_root), **env},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run
