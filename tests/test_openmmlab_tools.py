"""The tools of mmdet and mmpretrain: a fresh process that never imports eca_mm by itself, with our names in a config."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import succeeded

DETECTOR = """
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'
default_scope = 'mmdet'
model = dict(
    backbone=dict(type='eca_mm.ECAResNet', init_cfg=None),
    train_cfg=dict(rpn_proposal=dict(max_per_img=20), rcnn=dict(sampler=dict(num=8))),
)
dataset = dict(
    type='CocoDataset',
    data_root={shapes!r},
    ann_file='annotations/instances_val.json',
    data_prefix=dict(img='val'),
    metainfo=dict(classes=('circle', 'square', 'triangle', 'star')),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_shape')),
    ],
)
"""
CLASSIFIER = """
_base_ = 'mmpretrain::_base_/models/resnet50.py'
default_scope = 'mmpretrain'
model = dict(backbone=dict(type='eca_mm.ECAResNet', depth=18), head=dict(in_channels=512))
dataset = dict(
    type='ImageNet',
    data_root={imagenet!r},
    split='train',
    pipeline=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')],
)
"""
RUN = """
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler'),
    dataset=dataset,
    collate_fn=dict(type={collate!r}),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ('library', 'config', 'collate', 'logged'),
    [('mmdet', DETECTOR, 'pseudo_collate', 'loss_rpn_bbox'), ('mmpretrain', CLASSIFIER, 'default_collate', 'loss: ')],
)
def test_training(library, config, collate, logged, tmp_path, shapes_root, imagenet_root):
    tool = Path(importlib.import_module(library).__file__).parent / '.mim/tools/train.py'
    if not tool.is_file():
        pytest.skip(f'{library} was installed without its tools ({tool})')
    places = dict(shapes=str(shapes_root), imagenet=str(imagenet_root), collate=collate)
    (tmp_path / 'tiny.py').write_text((config + RUN).format(**places))
    command = [sys.executable, tool, 'tiny.py']
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert logged in succeeded(process) + process.stderr
