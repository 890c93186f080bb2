#!/usr/bin/env python
"""Prints what is installed and what works, with one line of advice for what does not.

    tools/doctor.py

Exits with 1 if training cannot run. Nothing of eca_mm is imported before its requirements are checked.
"""

import contextlib
import importlib
import importlib.metadata
import platform
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple


class Finding(NamedTuple):
    what: str
    found: str
    state: str = 'ok'  # ok, warn (training runs) or FAIL (it does not)
    advice: str = ''


# Module -> distributions that provide it, with the versions that were tried: those of the README's table, no others.
PACKAGES: dict[str, dict[str, tuple[str, ...]]] = {
    'torch': {'torch': ('2.13.0',)},
    'torchvision': {'torchvision': ('0.28.0',)},
    'mmengine': {'onedl-mmengine': ('0.10.12',), 'mmengine': ('0.10.7',)},
    'mmcv': {'onedl-mmcv': ('2.3.6',), 'mmcv': ('2.1.0',), 'mmcv-lite': ()},
    'mmdet': {'onedl-mmdetection': ('3.5.1',), 'mmdet': ('3.3.0',)},
    'mmpretrain': {'onedl-mmpretrain': ('1.3.6',), 'mmpretrain': ('1.2.0',)},
}
PYTHON = ('3.11',)  # likewise


OPENCV = [f'opencv-{kind}python{headless}' for kind in ('', 'contrib-') for headless in ('', '-headless')]


def installed(distributions: Iterable[str]) -> dict[str, str]:
    """The versions of those that are installed."""
    versions = {}
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def check_package(module: str, tried: dict[str, tuple[str, ...]]) -> Finding:
    versions = installed(tried)
    found = ', '.join(f'{name} {version}' for name, version in versions.items()) or 'not installed'
    if len(versions) > 1:
        return Finding(module, found, 'FAIL', f'{overwritten(versions)}, then install one')
    if not versions:
        return Finding(module, found, 'FAIL', 'see Installation in the README')
    try:
        importlib.import_module(module)
    except Exception as error:
        return Finding(module, found, 'FAIL', f'does not import: {first_line(error)}')
    ((name, version),) = versions.items()
    if module == 'torch' and [int(n) for n in re.findall(r'\d+', version)[:2]] < [2, 6]:
        return Finding(module, found, 'FAIL', 'checkpoints are read safely with torch 2.6 or newer')
    if version.split('+')[0] not in tried[name]:
        others = ', '.join(f'{n} {v}' for n, tried_versions in tried.items() for v in tried_versions)
        return Finding(module, found, 'warn', f'untested: tried was {others}')
    return Finding(module, found)


def overwritten(distributions: Iterable[str]) -> str:
    return f'these overwrite each other: pip uninstall {" ".join(distributions)}'


def check_python() -> Finding:
    found = platform.python_version()
    if sys.version_info < (3, 10):
        return Finding('Python', found, 'FAIL', '3.10 or newer is needed')
    tried = found.rpartition('.')[0] in PYTHON
    return Finding('Python', found, *(() if tried else ('warn', f'untested: tried was {", ".join(PYTHON)}')))


def check_call(what: str, call: Callable[[], str], advice: str, state: str = 'FAIL') -> Finding:
    try:
        return Finding(what, call())
    except Exception as error:
        return Finding(what, first_line(error), state, advice)


def check_opencv() -> Finding:
    finding = check_call(
        'OpenCV', opencv, f'install one of {", ".join(OPENCV[:2])} anew; without a display, the latter'
    )
    versions = installed(OPENCV)
    if len(versions) < 2:
        return finding
    state = 'FAIL' if finding.state == 'FAIL' else 'warn'
    return finding._replace(state=state, advice=f'{overwritten(versions)}, then install one')


def mmcv_ops() -> str:
    import torch
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)[1].tolist()
    if kept != [0, 2]:
        raise RuntimeError(f'nms kept {kept} instead of [0, 2]')
    return 'nms runs on the CPU'


def mmcv_cuda_ops() -> str:
    import torch
    from mmcv.ops import RoIAlign

    features, rois = torch.ones(1, 1, 8, 8, device='cuda'), torch.tensor([[0.0, 0, 0, 4, 4]], device='cuda')
    RoIAlign(2, 1.0, 0)(features, rois)
    return 'RoIAlign runs on the GPU'


def numpy_arrays() -> str:
    import numpy
    import torch

    torch.from_numpy(numpy.zeros(1)).numpy()
    return f'{numpy.__version__}, shared with torch'


def opencv() -> str:
    import cv2
    import numpy

    cv2.resize(numpy.zeros((2, 2, 3), numpy.uint8), (4, 4))
    return f'{cv2.__version__}, resizes'


def coco_masks() -> str:
    import numpy
    from pycocotools import mask

    mask.area(mask.encode(numpy.ones((2, 2), numpy.uint8, order='F')))
    return f'{importlib.metadata.version("pycocotools")}, encodes masks'


def tensorboard() -> str:
    from torch.utils.tensorboard import SummaryWriter

    return f'{importlib.metadata.version("tensorboard")}, {SummaryWriter.__name__} imports'


def package() -> str:
    import eca_mm

    return f'{importlib.metadata.version("eca-net-mm")}, {eca_mm.__name__} imports'


def torchvision_ops() -> str:
    import torch
    import torchvision

    torchvision.ops.nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([1.0]), 0.5)
    return 'nms runs on the CPU'


def registry() -> str:
    from mmdet.registry import MODELS

    MODELS.build(dict(type='eca_mm.ECAResNet', depth=18))
    return 'eca_mm.ECAResNet builds from an mmdet config'


def inherited_configs() -> str:
    from mmengine.utils import get_installed_path

    for library in ('mmdet', 'mmpretrain'):
        folder = Path(get_installed_path(library), '.mim', 'configs', '_base_')
        if not folder.is_dir():
            raise FileNotFoundError(f'no {folder}')
    return 'mmdet:: and mmpretrain:: are found'


def check_cuda() -> list[Finding]:
    torch = sys.modules.get('torch')  # imported by now, if that is possible
    if torch is None:
        return []
    if not torch.cuda.is_available():
        return [
            Finding('CUDA', 'no GPU', 'warn', 'training runs on the CPU: enough for the shapes configs, not for COCO')
        ]
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    advice = 'mmcv was built without CUDA or for another GPU: build it on this machine (README)'
    return [
        Finding('CUDA', f'{torch.version.cuda}: {", ".join(names)}'),
        check_call('mmcv CUDA operators', mmcv_cuda_ops, advice),
    ]


def first_line(error: BaseException) -> str:
    return f'{type(error).__name__}: {str(error).strip() or "?"}'.splitlines()[0][:100]


def diagnose() -> list[Finding]:
    return [
        check_python(),
        *(check_package(module, tried) for module, tried in PACKAGES.items()),
        check_call('eca_mm', package, 'pip install . in the clone, after the above works'),
        check_call('numpy', numpy_arrays, 'torch and numpy are of different times: install a numpy as old as torch'),
        check_opencv(),
        check_call('pycocotools', coco_masks, 'install pycocotools anew'),
        check_call('TensorBoard', tensorboard, 'for curves: pip install tensorboard; training runs without', 'warn'),
        check_call('mmcv operators', mmcv_ops, 'mmcv has no compiled operators (mmcv-lite?): see the README'),
        check_call('torchvision operators', torchvision_ops, 'torch and torchvision are of different builds'),
        check_call('registry', registry, 'mend the above first'),
        check_call(
            'inherited configs',
            inherited_configs,
            'mmengine 0.10.7 needs pkg_resources: pip install "setuptools<81"; mmdet and mmpretrain must be installed, '
            'a clone in PYTHONPATH has no configs where mmengine looks',
        ),
        *check_cuda(),
    ]


def main() -> None:
    findings = diagnose()
    width = max(len(f.what) for f in findings)
    for f in findings:
        print(
            f'{f.state:<5} {f.what:<{width}}  {f.found}' + (f'\n      {"":<{width}}  -> {f.advice}' if f.advice else '')
        )
    failures = sum(f.state == 'FAIL' for f in findings)
    print(f'\n{failures} problems: training cannot run' if failures else '\nTraining can run.')
    sys.exit(failures > 0)


if __name__ == '__main__':
    main()
