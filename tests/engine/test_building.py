"""Whose an error is: a mistake in a config is a sentence, a bug in a layer keeps its traceback."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from eca_mm.engine import load_config, train
from eca_mm.engine.building import building
from eca_mm.errors import UserError
from tests.support import NO_VALIDATION, short


@MODELS.register_module(force=True)
class UnderDevelopment(nn.Module):
    """A layer with a bug."""

    def __init__(self, in_channels, bug):
        super().__init__()
        self.bug = bug
        bugs = dict(
            key=lambda: dict(a=1)['b'],
            attribute=lambda: self.nothing(),
            index=lambda: [][0],
            missing=lambda: nn.Conv2d(3),
            keyword=lambda: nn.Conv2d(3, 3, 1, kernal=3),
            type=lambda: nn.Conv2d(3, 3, None + 1),
        )
        bugs.get(bug, dict)()

    def forward(self, x):
        if self.bug == 'value in forward':
            raise ValueError('in the depths')
        return dict(a=x)['b']


def backbone(**attention):
    return dict(_delete_=True, type='AttentionResNet', depth=18, attention=dict(type='UnderDevelopment', **attention))


@pytest.mark.parametrize(('bug', 'kind', 'text'), [
    ('key', KeyError, "^'b'$"),
    ('attribute', AttributeError, 'nothing'),
    ('index', IndexError, 'out of range'),
    ('missing', TypeError, 'missing 2 required'),
    ('keyword', TypeError, 'kernal'),
    ('type', TypeError, 'NoneType'),
    ('key in forward', KeyError, "^'b'$"),
    ('value in forward', ValueError, 'in the depths'),
])  # fmt: skip
def test_a_bug_keeps_its_traceback(bug, kind, text, trained):
    with pytest.raises(kind, match=text) as error:
        trained(**NO_VALIDATION, epochs=1, model__backbone=backbone(bug=bug))
    assert not isinstance(error.value, UserError)
    assert any(
        entry.name in ('__init__', 'forward') and 'test_building' in str(entry.path) for entry in error.traceback
    )


MISTAKES = [
    ({'model.backbone.kernal_size': 3}, ['a model', 'kernal_size']),
    ({'model.backbone.type': 'ECAResnet'}, ['a model', 'ECAResnet is not in']),
    ({'model.backbone.kernel_size': 4}, ['a model', 'odd', '4']),
    ({'model.backbone': dict(_delete_=True, type='mmpretrain.ResNet', depth=20)}, ['a model', 'invalid depth 20']),
    ({'model.backbone': backbone()}, ['a model', "UnderDevelopment.__init__() missing 1 required positional argument: 'bug'"]),
    ({'model.head': [3]}, ['a model', 'cfg should be a dict']),
    ({'model.head': dict(_delete_=True)}, ['a model', 'must contain the key "type"']),
    ({'optim_wrapper.optimizer.lr': -1}, ['an optimiser', '-1']),
    ({'param_scheduler.ende': 5}, ['a schedule', 'ende']),
    ({'param_scheduler': dict(_delete_=True, type='MultiStepLR')}, ['a schedule', "missing 1 required", 'milestones']),
    ({'train_dataloader.dataset.pipeline': [dict(type='LoadImage')]}, ['the train loop', 'LoadImage is not in']),
    ({'train_dataloader': None}, ['has no train_dataloader, which training needs']),
    ({'pictures': 'all'}, ['pictures', "'all'"]),
    ({'pictures': -1}, ['pictures must be a number of images, got -1']),
    ({'default_hooks.timer.type': 'Tmer'}, ['the hooks', 'Tmer']),
    ({'randomness.sed': 1}, ['a seed', 'sed']),
    ({'val_evaluator': dict(_delete_=True, type='mmdet.CocoMetric', ann_file='x.json')}, ['an evaluator', 'x.json']),
    ({'optim_wrapper.optimizer.type': 'SDG'}, ['an optimiser', 'None is not a callable']),
    ({'model.backbone.norm_cfg': dict(type='BNN')}, ['a model', 'Cannot find']),
    ({'log_level': 'FOO'}, ['log_level must be a level', "'FOO'"]),
    ({'optim_wrapper.optimizer.lr': 'abc'}, ['optim_wrapper.optimizer.lr: it must be a number such as', "'abc'"]),
    ({'train_dataloader.num_workers': 'a'}, ['it must be a number such as 0', "'a'"]),
    ({'train_cfg.val_interval': 0}, ['train_cfg.val_interval must be a positive number, got 0']),
    ({'train_cfg.max_epochs': -3}, ['train_cfg.max_epochs must be a positive number, got -3']),
    ({'model.head.in_channels': 2048}, ['model.head has in_channels=2048', 'set model.head.in_channels to 512']),
    ({'randomness': 5}, ['randomness: it must be a dictionary', '5']),
    ({'randomness.seed': 'foo'}, ['randomness must be', 'foo']),
    ({'param_scheduler': 'foo'}, ['param_scheduler', 'foo']),
    ({'model.backbone.out_indices': 5}, ['a model', 'out_indices must be stages', '5']),
    ({'backbone_weights': 5}, ['backbone weights must be a file, a URL or a known name, got 5']),
    ({'visualizer.vis_backends': [dict(type='Tensorbord')]}, ['a visualizer', 'Tensorbord']),
]  # fmt: skip


@pytest.mark.parametrize(('options', 'parts'), MISTAKES, ids=[' '.join(options) for options, _ in MISTAKES])
def test_a_mistake_in_a_config_is_a_sentence(options, parts, trained):
    with pytest.raises(UserError) as error:
        trained(**{key.replace('.', '__'): value for key, value in options.items()})
    assert all(part in str(error.value) for part in parts), error.value


def test_the_innermost_part_is_named_once():
    message = r'^the config does not build a model: FileNotFoundError: x$'
    with pytest.raises(UserError, match=message), building('a run', {}), building('a model', {}):
        raise FileNotFoundError('x')


def test_wrong_surroundings(classifier, tmp_path, monkeypatch):
    def refusal(work='w', **arguments):
        with pytest.raises(UserError) as error:
            train(load_config(classifier, work_dir=str(tmp_path / work), cfg_options=short()), **arguments)
        return str(error.value)

    assert '--work-dir: /dev/null/x cannot be made a folder' in refusal('/dev/null/x')
    assert 'checkpoint not found: x.pth' in refusal(resume='x.pth')
    assert 'start this command with torchrun' in refusal(launcher='pytorch')
    assert "got 'kubernetes'" in refusal(launcher='kubernetes')
    assert torch.cuda.is_available() or '--amp needs a GPU' in refusal(amp=True)
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert 'add `launcher="pytorch"`' in refusal()
