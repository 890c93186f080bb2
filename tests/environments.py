#!/usr/bin/env python
"""Build environments that people have, run model and tool tests in them, and print the rows of docs/installation.md's table.

    tests/environments.py old newest        # some minutes and 5 GB each, below --folder; removed afterwards unless --keep
    tests/environments.py --list

Each environment shows that ``pip install --dry-run`` of this package leaves its torch, mmcv and OpenCV as they are. Pythons other
than the running one are found by uv: an environment whose Python is missing is passed over, with a line.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[1]
ORIGINALS = ('mmengine==0.10.7', 'mmdet==3.3.0', 'setuptools<81')
ONEDL = ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'onedl-mmpretrain')
TESTING = ('pytest', 'pytest-xdist', 'timm', 'safetensors', 'tensorboard', 'pycocotools')
TESTS = (
    'tests/test_compat.py',
    'tests/models/test_attention.py',
    'tests/models/test_ops.py',
    'tests/checkpoints/test_reading.py',
    'tests/checkpoints/test_hostile.py',
)
SHOWN = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmcv-lite', 'mmdet', 'mmpretrain', *ONEDL)
KEPT = ('torch', 'torchvision', 'numpy', 'mmcv', 'mmcv-lite', 'onedl-mmcv', 'opencv-python', 'opencv-python-headless')


class Environment(NamedTuple):
    """A Python, what is installed in it at once, and the tests that run there."""

    python: str
    packages: tuple[str, ...]
    tests: tuple[str, ...] = TESTS


ENVIRONMENTS = {
    'old': Environment(
        '3.10',
        ('torch==2.0.1', 'torchvision==0.15.2', 'numpy<2', 'mmcv-lite==2.1.0', 'mmpretrain==1.2.0', *ORIGINALS),
    ),
    'old-without-mmpretrain': Environment(
        '3.10',
        ('torch==2.1.2', 'torchvision==0.16.2', 'numpy<2', 'mmcv-lite==2.1.0', *ORIGINALS),
        ('tests/test_compat.py',),
    ),
    '2.6': Environment('3.12', ('torch==2.6.0', 'torchvision==0.21.0', *ONEDL)),
    'newest': Environment('3.13', ('torch', 'torchvision', *ONEDL)),
}


def run(*command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], cwd=REPOSITORY, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def uv(*command: str | Path, venv: Path) -> str:
    done = run('uv', *command, VIRTUAL_ENV=str(venv))
    if done.returncode:
        sys.exit(f'uv {" ".join(map(str, command))}:\n{done.stderr[-2000:]}')
    return done.stdout + done.stderr


def build(name: str, folder: Path) -> Path:
    """Build an environment; returns its Python."""
    venv, environment = folder / name, ENVIRONMENTS[name]
    uv('venv', '--quiet', '--clear', '--python', environment.python, venv, venv=venv)
    uv('pip', 'install', '--quiet', *environment.packages, *TESTING, venv=venv)
    uv('pip', 'install', '--quiet', './mmcv_torch_ops', venv=venv)
    planned = uv('pip', 'install', '--dry-run', '.', venv=venv)
    if changed := [line for line in planned.splitlines() if re.match(rf' [+-] ({"|".join(KEPT)})(==| )', line)]:
        sys.exit(f'{name}: an installation of this package would change {", ".join(map(str.strip, changed))}')
    uv('pip', 'install', '--quiet', '.', venv=venv)
    return venv / 'bin/python'


VERSIONS = """
import importlib.metadata as metadata, platform, sys
installed = {d.name: d.version for d in metadata.distributions()}
print('Python', platform.python_version(), *(f'{name} {installed[name]}' for name in sys.argv[1:] if name in installed), sep=', ')
"""
# mmdet first, and eca_mm by a config's name alone.
GUEST = """
import torch
from mmengine.registry import DefaultScope
from mmdet.registry import MODELS
DefaultScope.get_instance('guest', scope_name='mmdet')
backbone = MODELS.build(dict(type='eca_mm.ECAResNet', depth=50))
assert [tuple(y.shape) for y in backbone(torch.rand(2, 3, 64, 64))][-1] == (2, 2048, 2, 2)
"""


def test(name: str, python: Path) -> tuple[str, bool]:
    """Run the doctor and the tests; returns a row of the table, and whether all passed."""
    doctor = run(python, 'tools/doctor.py', PYTHONWARNINGS='ignore')
    says = doctor.stdout.strip().splitlines()[-1] if doctor.stdout.strip() else doctor.stderr[-200:]
    guest = run(python, '-c', GUEST)
    print(guest.stderr[-2000:] if guest.returncode else '', end='')
    tests = run(python, '-m', 'pytest', '-q', '-n0', *ENVIRONMENTS[name].tests, OMP_NUM_THREADS='1')
    summary = (tests.stdout.strip().splitlines() or [tests.stderr[-200:]])[-1]
    if tests.returncode:
        print(tests.stdout[-6000:])
    shown = run(python, '-c', VERSIONS, *SHOWN).stdout.strip()
    passed = not (doctor.returncode or guest.returncode or tests.returncode)
    return f'| {name} | {shown} | doctor: {says} {summary} |', passed


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', choices=[*ENVIRONMENTS, []], metavar='NAME', help='default: all')
    p.add_argument('--folder', type=Path, default=Path('/tmp/environments'))
    p.add_argument('--keep', action='store_true', help='do not remove an environment after its tests')
    p.add_argument('--list', action='store_true', help='print the environments and stop')
    a = p.parse_args()
    if a.list:
        for name, environment in ENVIRONMENTS.items():
            print(f'{name}: Python {environment.python}, {" ".join(environment.packages)}')
        return
    failed = []
    for name in a.names or ENVIRONMENTS:
        if run('uv', 'python', 'find', ENVIRONMENTS[name].python).returncode:
            print(f'{name}: passed over, no Python {ENVIRONMENTS[name].python} here', flush=True)
            continue
        row, passed = test(name, build(name, a.folder))
        print(row, flush=True)
        failed += [] if passed else [name]
        if not a.keep:
            shutil.rmtree(a.folder / name)
    sys.exit(f'failed: {", ".join(failed)}' if failed else 0)


if __name__ == '__main__':
    main()
