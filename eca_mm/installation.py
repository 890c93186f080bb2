"""What is installed beside this package, and whether it works: the checks of ``eca-mm doctor`` without a config.

Nothing of this package is imported before what it requires is checked.
"""

import contextlib
import importlib.metadata
import importlib.util
import platform
import re
import sys
from collections.abc import Callable, Iterable
from importlib import import_module as load
from typing import Any, NamedTuple


class Finding(NamedTuple):
    what: str
    found: str
    state: str = 'ok'  # ok, warn (training runs) or FAIL (it does not)
    advice: str = ''


# Module -> distributions that provide it, with the versions that were tried: no others.
PACKAGES: dict[str, dict[str, tuple[str, ...]]] = {
    'torch': {'torch': ('2.13.0',)},
    'torchvision': {'torchvision': ('0.28.0',)},
    'mmengine': {'onedl-mmengine': ('0.10.12',), 'mmengine': ('0.10.7',)},
    'mmcv': {'onedl-mmcv': ('2.3.6',), 'mmcv': ('2.1.0',), 'mmcv-lite': ()},
    'mmdet': {'onedl-mmdetection': ('3.5.1',), 'mmdet': ('3.3.0',)},
    'mmpretrain': {'onedl-mmpretrain': ('1.3.6',), 'mmpretrain': ('1.2.0',)},
}
PYTHON = ('3.11',)  # likewise
OPTIONAL = {
    'mmpretrain': 'for classifiers, and backbones that extend its: pip install onedl-mmpretrain; ECAResNet in mmdet does without'
}
OPENCV = [f'opencv-{kind}python{headless}' for kind in ('', 'contrib-') for headless in ('', '-headless')]
OVERWRITTEN = 'these overwrite each other: pip uninstall {}, then install one'


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
        return Finding(module, found, 'FAIL', OVERWRITTEN.format(' '.join(versions)))
    if not versions:
        state = 'warn' if module in OPTIONAL else 'FAIL'
        return Finding(module, found, state, OPTIONAL.get(module, 'see docs/installation.md'))
    try:
        load(module)
    except Exception as error:
        return Finding(module, found, 'FAIL', f'does not import: {first_line(error)}')
    ((name, version),) = versions.items()
    if module == 'torch' and [int(n) for n in re.findall(r'\d+', version)[:2]] < [2, 0]:
        return Finding(module, found, 'FAIL', '2.0 or newer is needed')
    if version.split('+')[0] not in tried[name]:
        others = ', '.join(f'{n} {v}' for n, tried_versions in tried.items() for v in tried_versions)
        return Finding(module, found, 'warn', f'untested: tried was {others}')
    return Finding(module, found)


def check_python() -> Finding:
    found = platform.python_version()
    if sys.version_info < (3, 10):
        return Finding('Python', found, 'FAIL', '3.10 or newer is needed')
    if found.rpartition('.')[0] not in PYTHON:
        return Finding('Python', found, 'warn', f'untested: tried was {", ".join(PYTHON)}')
    return Finding('Python', found)


def check(what: str, works: str, call: Callable[[], object], advice: str, state: str = 'FAIL') -> Finding:
    """That ``call`` works; ``works`` says what it does."""
    try:
        call()
    except Exception as error:
        return Finding(what, first_line(error), state, advice)
    return Finding(what, works)


def check_opencv() -> Finding:
    """Libraries ask for more than one distribution. They have the same files, which matters where the versions differ."""
    versions = installed(OPENCV)
    found = ', '.join(f'{name} {version}' for name, version in versions.items()) or 'of no distribution'
    advice = f'install one of {", ".join(OPENCV[:2])} anew; without a display, the latter'
    resize = check('OpenCV', f'{found}; resizes', lambda: load('cv2').resize(zeros(2, 2, 3), (4, 4)), advice)
    if len(set(versions.values())) > 1:
        state = 'warn' if resize.state == 'ok' else 'FAIL'
        return resize._replace(state=state, advice=OVERWRITTEN.format(' '.join(versions)))
    return resize


def zeros(*shape: int) -> Any:
    return load('numpy').zeros(shape, 'uint8', order='F')


def nms(ops: str) -> None:
    tensor = load('torch').tensor
    boxes = tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    kept = load(ops).nms(boxes, tensor([0.9, 0.8, 0.7]), 0.5)
    indices = (kept[1] if isinstance(kept, tuple) else kept).tolist()  # mmcv returns the boxes too
    if indices != [0, 2]:
        raise RuntimeError(f'nms kept {indices} instead of [0, 2]')


def check_operators() -> Finding:
    """Check mmcv's operators, compiled or from mmcv_torch_ops."""
    what, page = 'mmcv operators', 'see "mmcv\'s operators" in docs/installation.md'
    try:
        extension = load('mmcv._ext')
    except ModuleNotFoundError as error:
        advice = f'pip install ./mmcv_torch_ops in the clone, or compile mmcv: {page}'
        return Finding(what, first_line(error), 'FAIL', advice)
    except ImportError as error:  # of a compiled module: undefined symbols, or libraries of another CUDA
        torch = ', '.join(installed(['torch']).values())
        advice = f'mmcv was compiled for another torch than {torch}: compile it again, or use mmcv_torch_ops: {page}'
        return Finding(what, first_line(error), 'FAIL', advice)
    except Exception as error:  # of torch or torchvision
        return Finding(what, first_line(error), 'FAIL', 'mend torch and torchvision first')
    whose = 'mmcv_torch_ops' if str(extension.__file__).endswith('.py') else 'compiled'
    return check(what, f'{whose}; nms runs on the CPU', lambda: nms('mmcv.ops'), f'the operators do not work: {page}')


def read_configs() -> None:
    """Read a config of ours for each library that is installed; its bases are the library's."""
    from mmengine.config import Config

    for library, name in (('mmdet', 'faster_rcnn_eca_r50_fpn_shapes'), ('mmpretrain', 'imagenet/eca_resnet50')):
        if importlib.util.find_spec(library) is not None:
            Config.fromfile(load('eca_mm.configs').find_config(name))


def check_cuda() -> list[Finding]:
    torch = sys.modules.get('torch')  # imported by now, if that is possible
    if torch is None:
        return []
    if not torch.cuda.is_available():
        advice = 'training runs on the CPU: enough for the shapes configs, not for COCO'
        return [Finding('CUDA', 'no GPU', 'warn', advice)]
    names = ', '.join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))

    def align() -> None:
        rois = torch.tensor([[0.0, 0, 0, 4, 4]], device='cuda')
        load('mmcv.ops').RoIAlign(2, 1.0, 0)(torch.ones(1, 1, 8, 8, device='cuda'), rois)

    advice = 'mmcv was built without CUDA or for another GPU: build it on this machine (docs/installation.md)'
    return [
        Finding('CUDA', f'{torch.version.cuda}: {names}'),
        check('mmcv CUDA operators', 'RoIAlign runs on the GPU', align, advice),
    ]


def first_line(error: BaseException) -> str:
    return f'{type(error).__name__}: {str(error).strip() or "?"}'.splitlines()[0][:100]


def with_version(distribution: str, what: str) -> str:
    return ', '.join([*installed([distribution]).values(), what])


# fmt: off
def diagnose() -> list[Finding]:
    return [
        check_python(),
        *(check_package(module, tried) for module, tried in PACKAGES.items()),
        check('eca_mm', with_version('eca-net-mm', 'eca_mm imports'), lambda: load('eca_mm')._register(),
              'pip install . in the clone, after the above works'),
        check('numpy', with_version('numpy', 'shared with torch'), lambda: load('torch').from_numpy(zeros(1)).numpy(),
              'torch and numpy are of different times: install a numpy as old as torch'),
        check_opencv(),
        check('pycocotools', with_version('pycocotools', 'encodes masks'), lambda: load('pycocotools.mask').encode(zeros(2, 2)),
              'install pycocotools anew'),
        check('TensorBoard', with_version('tensorboard', 'SummaryWriter imports'), lambda: load('torch.utils.tensorboard'),
              'for curves: pip install tensorboard; training runs without', 'warn'),
        check_operators(),
        check('torchvision operators', 'nms runs on the CPU', lambda: nms('torchvision.ops'),
              'torch and torchvision are of different builds'),
        check('registry', 'eca_mm.ECAResNet builds from an mmdet config',
              lambda: load('mmdet.registry').MODELS.build(dict(type='eca_mm.ECAResNet', depth=18)),
              'mend the above first'),
        check('configs', 'ours are read, with their bases in mmdet and mmpretrain', read_configs,
              'mmengine 0.10.7 needs pkg_resources: pip install "setuptools<81"; mmdet and mmpretrain must be installed, '
              'a clone in PYTHONPATH has no configs where mmengine looks'),
        *check_cuda(),
    ]
# fmt: on
