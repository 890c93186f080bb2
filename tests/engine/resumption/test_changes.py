"""Runs that are resumed with other settings: what is said of each, what is refused, and that new values are taken truly."""

import copy
import signal

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from eca_mm.engine import Interrupted
from eca_mm.engine.resumption.changes import (
    HARMLESS,
    KEPT,
    REFUSED,
    ROUNDING,
    TOLD,
    RunRecord,
    check_changes,
    table,
)
from eca_mm.errors import UserError
from tests.support import NO_VALIDATION, Signal

CONFIG = dict(
    model=dict(type='mmdet.FasterRCNN', backbone=dict(depth=50, init_cfg=None), test_cfg=dict(score_thr=0.05)),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
    param_scheduler=[dict(type='MultiStepLR', milestones=[8, 11])],
    train_dataloader=dict(
        num_workers=2,
        batch_size=2,
        dataset=dict(
            type='CocoDataset',
            data_root='a',
            pipeline=[dict(type='Load'), dict(type='Flip', prob=0.5), dict(type='Pack')],
        ),
    ),
    train_cfg=dict(max_epochs=12),
    randomness=dict(seed=0),
    work_dir='a',
)


class Images(BaseDataset):
    def load_data_list(self):
        return self.images


def images(*labels, classes=('a', 'b'), root='/data'):
    dataset = Images(lazy_init=True, metainfo=dict(classes=classes))
    dataset.images = [dict(img_path=f'{root}/c{label}/{i}.png', gt_label=label) for i, label in enumerate(labels)]
    dataset.full_init()
    return dataset


def changes(edit, new=None, old=None):
    """The effects by key of a config's edit, or of another dataset."""
    cfg = copy.deepcopy(CONFIG)
    edit(cfg)
    before = RunRecord(Config(copy.deepcopy(CONFIG))).describe(old or images(0, 1))
    return {c.key: c.effect for c in RunRecord(Config(cfg)).compare(before, new or images(0, 1))}


def pipeline(cfg):
    return cfg['train_dataloader']['dataset']['pipeline']


@pytest.mark.parametrize(('edit', 'expected'), [
    (lambda c: None, {}),
    (lambda c: c['model'].update(type=type('FasterRCNN', (), {})), {}),  # a class is its name
    (lambda c: c['optim_wrapper']['optimizer'].update(lr=1), {'optim_wrapper.optimizer.lr': REFUSED}),
    (lambda c: c['optim_wrapper'].update(clip_grad=dict(max_norm=1)), {'optim_wrapper.clip_grad': REFUSED}),
    (lambda c: c['param_scheduler'][0].update(milestones=[9]), {'param_scheduler.0.milestones': REFUSED}),
    (lambda c: c['param_scheduler'].insert(0, dict(type='LinearLR')), {'param_scheduler.0': REFUSED}),
    (lambda c: pipeline(c).insert(1, dict(type='Crop')), {'train_dataloader.dataset.pipeline.1': REFUSED}),
    (lambda c: pipeline(c)[1].update(prob=1), {'train_dataloader.dataset.pipeline.1.prob': REFUSED}),
    (lambda c: pipeline(c).pop(1), {'train_dataloader.dataset.pipeline.1': REFUSED}),
    (lambda c: c.update(custom_hooks=[dict(type='EMAHook')]), {'custom_hooks.0': REFUSED}),
    (lambda c: c['model']['backbone'].update(depth=18), {'model.backbone.depth': REFUSED}),
    (lambda c: c['train_dataloader'].update(batch_size=4), {'train_dataloader.batch_size': REFUSED}),
    (lambda c: c['model']['backbone'].update(init_cfg=dict(a=1)), {'model.backbone.init_cfg': HARMLESS}),
    (lambda c: c['model']['test_cfg'].update(score_thr=0), {'model.test_cfg.score_thr': HARMLESS}),
    (lambda c: c['train_dataloader'].update(num_workers=0), {'train_dataloader.num_workers': HARMLESS}),
    (lambda c: c['train_dataloader']['dataset'].update(data_root='b'), {'train_dataloader.dataset.data_root': HARMLESS}),
    (lambda c: c['train_cfg'].update(max_epochs=24), {'train_cfg.max_epochs': HARMLESS}),
    (lambda c: c.update(work_dir='b', unknown=1), {'work_dir': HARMLESS}),
    (lambda c: c.update(compile=True), {'compile': ROUNDING}),
    (lambda c: c['randomness'].update(seed=1), {'randomness.seed': KEPT}),
])  # fmt: skip
def test_settings(edit, expected):
    assert changes(edit) == expected


def test_hooks():
    """One of the libraries may change the weights; an own one does if it keeps a state."""
    one = copy.deepcopy(CONFIG) | dict(custom_hooks=[dict(type='EMAHook', momentum=0.1)])
    record = RunRecord(Config(one)).describe(images(0))
    for hooks, expected in (
        ([dict(type='EMAHook', momentum=0.2)], [REFUSED]),
        ([dict(type='Signal', number=1), dict(type='EMAHook', momentum=0.1)], [TOLD]),
        ([dict(type='EMAHook', momentum=0.1), dict(type='MemoryProfilerHook')], [HARMLESS]),
        ([dict(type=Signal), dict(type='EarlyStoppingHook'), dict(type='EMAHook', momentum=0.1)], [REFUSED, TOLD]),
    ):
        found = RunRecord(Config(one | dict(custom_hooks=hooks))).compare(record, images(0))
        assert [change.effect for change in found] == expected


def test_data():
    """Another number, another label, another order of classes; not another folder."""
    none = dict.copy
    assert changes(none, new=images(0, 1, 1)).keys() == {'data.0.images', 'data.0.annotations'}
    assert changes(none, new=images(0, 0)) == {'data.0.annotations': REFUSED}
    assert changes(none, new=images(0, 1, classes=('b', 'a'))) == {'data.0.classes': REFUSED}
    assert changes(none, new=images(0, 1, root='/elsewhere')) == {}


def test_threads(monkeypatch):
    record = RunRecord(Config(CONFIG))
    old = record.describe(images(0))
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 64)
    (change,) = record.compare(old, images(0))
    assert (change.key, change.new, change.effect) == ('machine.threads', 64, ROUNDING)
    check_changes([change], 'x.pth', False)
    assert '64' in table([change])


def test_edited_and_resumed(trained, tmp_path):
    """Refused with a table, and the config in the work directory stays; taken truly when that is wanted."""
    run = NO_VALIDATION | dict(
        images_per_step=4,
        param_scheduler=[
            dict(type='LinearLR', by_epoch=False, begin=0, end=3),
            dict(type='MultiStepLR', milestones=[1]),
        ],
    )
    new = run | dict(
        optim_wrapper__optimizer__lr=0.002, optim_wrapper__optimizer__momentum=0.5, param_scheduler=[
            dict(type='ExponentialLR', gamma=0.5, by_epoch=False), dict(type='MultiStepLR', milestones=[1])]
    )  # fmt: skip
    with pytest.raises(Interrupted):
        trained(**run, custom_hooks=[dict(type='Signal', number=signal.SIGTERM, after=5)])
    config = tmp_path / 'work/classifier.py'
    before = config.read_text()
    with pytest.raises(UserError, match='other settings.*--resume-with-changes') as error:
        trained(**new, resume='auto')
    assert next(row for row in str(error.value).splitlines() if '.lr ' in row).split()[1:3] == ['0.001', '0.002']
    assert 'momentum' in str(error.value) and 'param_scheduler.0' in str(error.value) and config.read_text() == before
    resumed = torch.load(trained(**new, resume='auto', resume_with_changes=True).checkpoint, weights_only=False)
    whole = torch.load(trained('whole', **new).checkpoint, weights_only=False)
    (group,), (expected,) = (state['optimizer']['param_groups'] for state in (resumed, whole))
    assert group == expected and group['momentum'] == 0.5
    assert 'lr=0.002' in config.read_text()


def test_stopped_early(trained, tmp_path, caplog):
    """A run that is started again does not train on, and the patience counts the validations before an interruption."""
    stop = dict(type='EarlyStoppingHook', monitor='accuracy/top1', patience=2, min_delta=1000)
    run = dict(epochs=6, train_cfg__val_interval=1, default_hooks__checkpoint__interval=9)
    with pytest.raises(Interrupted):
        trained(**run, custom_hooks=[stop, dict(type='Signal', number=signal.SIGTERM, after=3)])
    for _ in range(2):
        summary = trained(**run, resume='auto', custom_hooks=[stop])
        # The first validation sets the best score, the second and the third do not improve it.
        assert torch.load(summary.checkpoint, weights_only=False)['meta']['iter'] == 6
    assert not summary.trained and summary.checkpoint.name == 'resume_iter_6.pth'
