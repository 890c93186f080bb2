"""Which operators mmcv gets: the compiled ones, the stand-in, or a sentence."""

import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import SimpleNamespace

import mmcv
import pytest
import torch
from mmcv import ops

from eca_mm import mmcv_ops
from eca_mm.errors import UserError
from eca_mm.mmcv_ops import extension
from tests.support import REPOSITORY, succeeded

BLOCKED = Path(__file__).with_name('blocked')


def load(*folders):
    """The module that ``import mmcv._ext`` makes where mmcv lies in `folders`."""
    finder = next(finder for finder in sys.meta_path if isinstance(finder, mmcv_ops._Finder))
    spec = finder.find_spec('mmcv._ext', [str(folder) for folder in folders])
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_compiled_module_is_used_where_it_loads(tmp_path):
    (tmp_path / '_ext.py').write_text('compiled = True')
    assert load(tmp_path).compiled
    here = PathFinder.find_spec('mmcv._ext', mmcv.__path__) is not None
    assert mmcv_ops.in_use() == ('compiled' if here else 'stand-in')


def test_the_stand_in_is_used_where_there_is_none(tmp_path):
    assert vars(load(tmp_path))['IS_STAND_IN']


def test_a_compiled_module_that_does_not_load_is_replaced_with_a_warning(tmp_path):
    (tmp_path / f'_ext{EXTENSION_SUFFIXES[0]}').write_bytes(b'built for another PyTorch')
    with pytest.warns(UserWarning, match=r'cannot be loaded \(.*_ext.*\), so those of torchvision .* MMCV_WITH_OPS=1'):
        module = load(tmp_path)
    assert vars(module)['IS_STAND_IN']


def test_install_twice_and_too_late(monkeypatch):
    finders = list(sys.meta_path)
    mmcv_ops.install()
    assert sys.meta_path == finders
    late = SimpleNamespace(__name__='mmdet.models.layers.bbox_nms', batched_nms=SimpleNamespace())
    late.batched_nms.__module__ = late.__name__
    monkeypatch.setitem(sys.modules, late.__name__, late)
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    with pytest.warns(UserWarning, match='import eca_mm first'):
        mmcv_ops.install()


@pytest.mark.usefixtures('stand_in')
def test_an_operator_that_only_compiled_mmcv_has():
    with pytest.raises(UserError, match="operator 'knn_forward' exists only in a compiled mmcv.* MMCV_WITH_OPS=1 pip"):
        ops.knn(2, torch.zeros(1, 5, 3), torch.zeros(1, 5, 3))
    assert not hasattr(extension, '__path__')  # or Python takes it for a package


@pytest.mark.usefixtures('stand_in')
def test_what_mmcv_tells_of_its_compiler():
    assert 'torchvision' in ops.get_compiler_version()
    assert torch.version.cuda is None or torch.version.cuda in ops.get_compiling_cuda_version()


@pytest.mark.usefixtures('stand_in')
@pytest.mark.parametrize(
    'call',
    [
        lambda: ops.nms(torch.zeros(3, 4).double(), torch.zeros(3).double(), 0.5),
        lambda: ops.soft_nms(torch.zeros(3, 4).half(), torch.zeros(3).half()),
        lambda: ops.nms_match(torch.zeros(3, 5).double(), 0.5),
        lambda: ops.roi_align(torch.zeros(1, 1, 5, 5), torch.tensor([[0, 4.0, 0, 2, 3]]), 2),
        lambda: ops.roi_align(torch.zeros(1, 1, 5, 5), torch.tensor([[0, torch.nan, 0, 2, 3]]), 2),
    ],
)
def test_what_compiled_mmcv_refuses_is_refused(call):
    with pytest.raises(UserError, match=r'takes float32, but|a region with x2 < x1'):
        call()


CONFIG = """
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'
default_scope = 'mmdet'
model = dict(
    backbone=dict(type='eca_mm.ECAResNet', init_cfg=None),
    train_cfg=dict(rpn_proposal=dict(max_per_img=20), rcnn=dict(sampler=dict(num=8))),
)
train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler'),
    dataset=dict(
        type='CocoDataset',
        data_root={root!r},
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val'),
        metainfo=dict(classes=('circle', 'square', 'triangle', 'star')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_shape')),
        ],
    ),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None)
"""


@pytest.mark.slow
@pytest.mark.parametrize('way', ['module', 'custom_imports'])
def test_mmdets_own_tool(way, tmp_path, shapes_root):
    """mmdet's train.py with the scoped name in a config, and without compiled operators, by both documented ways."""
    import mmdet

    train = Path(mmdet.__file__).parent / '.mim/tools/train.py'
    if not train.is_file():
        pytest.skip(f'mmdet was installed without its tools ({train})')
    text = CONFIG.format(root=str(shapes_root))
    (tmp_path / 'tiny.py').write_text(text + "custom_imports = dict(imports=['eca_mm'])" * (way == 'custom_imports'))
    process = subprocess.run(
        [sys.executable, *(['-m', 'eca_mm.mmcv_ops'] if way == 'module' else []), train, 'tiny.py'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(BLOCKED), str(REPOSITORY)])},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert 'loss_rpn_bbox' in succeeded(process) + process.stderr


def test_the_script_to_run_is_named():
    process = subprocess.run(
        [sys.executable, '-m', 'eca_mm.mmcv_ops', 'nowhere.py'], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert process.returncode == 1
    assert process.stderr.strip().splitlines()[-1].startswith('error: the first argument must be the Python file')


@pytest.mark.slow
def test_mask_rcnn_is_equal_to_compiled_to_the_last_bit(compiled, tmp_path):
    results = []
    for block in ([str(BLOCKED)], []):
        process = subprocess.run(
            [sys.executable, '-m', 'tests.mmcv_ops.mask_rcnn', tmp_path / 'results.pt'],
            cwd=REPOSITORY,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join([*block, str(REPOSITORY)]), 'OMP_NUM_THREADS': '1'},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert succeeded(process).split()[-1] == ('stand-in' if block else 'compiled')
        results.append(torch.load(tmp_path / 'results.pt'))
    assert results[0].keys() == results[1].keys() and 'loss_mask' in results[0] and len(results[0]['scores'])
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]), name
