#!/usr/bin/env python
"""Prints what is installed and what works, with one line of advice for what does not.

    tools/doctor.py

Exits with 1 when training could not run. It imports nothing of eca_mm before it has looked whether that can work.
"""

import importlib
import importlib.metadata
import platform
import sys
from collections.abc import Callable
from typing import NamedTuple


class Finding(NamedTuple):
    what: str
    found: str
    state: str = 'ok'  # ok, warn (training runs) or FAIL (it does not)
    advice: str = ''


# Module, distributions that provide it, first and first-too-new version of the tested range (README).
PACKAGES = [
    ('torch', ['torch'], '2.6', '2.14'),
    ('torchvision', ['torchvision'], '0.21', '0.29'),
    ('mmengine', ['onedl-mmengine', 'mmengine'], '0.10.7', '0.11'),
    ('mmcv', ['onedl-mmcv', 'mmcv', 'mmcv-lite'], '2.1.0', '2.4'),
    ('mmdet', ['onedl-mmdetection', 'mmdet'], '3.3.0', '3.6'),
    ('mmpretrain', ['onedl-mmpretrain', 'mmpretrain'], '1.2.0', '1.4'),
    ('pycocotools', ['pycocotools'], '2.0.6', '2.1'),
    ('eca_mm', ['eca-net-mm'], '0.1', '0.2'),
]


def check_package(module: str, distributions: list[str], low: str, high: str) -> Finding:
    versions = {}
    for name in distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    found = ', '.join(f'{name} {version}' for name, version in versions.items()) or 'not installed'
    if len(versions) > 1:
        return Finding(
            module, found, 'FAIL', f'these overwrite each other: pip uninstall {" ".join(versions)}, then one'
        )
    if not versions:
        return Finding(module, found, 'FAIL', 'see Installation in the README')
    try:
        importlib.import_module(module)
    except Exception as error:
        return Finding(module, found, 'FAIL', f'does not import: {first_line(error)}')
    if module == 'torch' and _numbers(versions['torch']) < [2, 6]:
        return Finding(module, found, 'FAIL', 'checkpoints are read safely with torch 2.6 or newer')
    if not _numbers(low) <= _numbers(next(iter(versions.values()))) < _numbers(high):
        return Finding(module, found, 'warn', f'tested with {low} to below {high}')
    return Finding(module, found)


def check_call(what: str, call: Callable[[], str], advice: str) -> Finding:
    try:
        return Finding(what, call())
    except Exception as error:
        return Finding(what, first_line(error), 'FAIL', advice)


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


def torchvision_ops() -> str:
    import torch
    import torchvision

    torchvision.ops.nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([1.0]), 0.5)
    return 'nms runs on the CPU'


def registry() -> str:
    from mmdet.registry import MODELS

    MODELS.build(dict(type='eca_mm.ECAResNet', depth=18))
    return 'eca_mm.ECAResNet builds from an mmdet config'


def mmdet_configs() -> str:
    from mmengine.utils import get_installed_path

    return get_installed_path('mmdet')


def check_cuda() -> list[Finding]:
    try:
        import torch
    except Exception:
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


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split('+')[0].split('.')[:3] if part.isdigit()]


def diagnose() -> list[Finding]:
    python = Finding('Python', platform.python_version())
    if sys.version_info < (3, 10):
        python = python._replace(state='FAIL', advice='3.10 or newer is needed')
    return [
        python,
        *(check_package(*package) for package in PACKAGES),
        check_call('mmcv operators', mmcv_ops, 'mmcv has no compiled operators (mmcv-lite?): see the README'),
        check_call('torchvision operators', torchvision_ops, 'torch and torchvision are of different builds'),
        check_call('registry', registry, 'mend the above first'),
        check_call(
            'mmdet:: configs', mmdet_configs, 'mmengine 0.10.7 needs pkg_resources: pip install "setuptools<81"'
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
