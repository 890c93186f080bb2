"""The batch rule: how many processes, images and accumulated batches make one step of the optimiser."""

import copy
import itertools
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from eca_mm.engine import load_config
from eca_mm.engine.config.batch import apply_batch, split_batch
from eca_mm.engine.resumption.loops import ResumableEpochs
from eca_mm.errors import UserError
from tests.support import NO_VALIDATION, REPOSITORY


@pytest.fixture(scope='module')
def whole_config():
    return load_config(REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py')


@pytest.fixture
def cfg(whole_config):
    return copy.deepcopy(whole_config)


def test_product_is_the_batch():
    for total, processes, most in itertools.product((8, 96, 256), (1, 2, 4, 8), (1, 2, 3, 32, 1000)):
        batch = split_batch(total, processes, most)
        assert batch.processes * batch.images * batch.accumulation == total
        assert batch.images <= most
    assert str(split_batch(8, 4, 2)) == '4 processes x 2 images x 1 accumulated = 8 images per optimiser step'


def test_refuses():
    for processes in (3, 16):
        with pytest.raises(UserError, match=rf'{processes} processes.*\[1, 2, 4, 8\]'):
            split_batch(8, processes, 2)
    for value in (0, 1.5):
        with pytest.raises(UserError, match=f'batch_size must be a positive integer, got {value}'):
            split_batch(8, 1, value)
        with pytest.raises(UserError, match=f'images_per_step must be a positive integer, got {value}'):
            split_batch(value, 1, 1)


@pytest.mark.parametrize(('processes', 'accumulation'), [(1, 4), (2, 2), (8, 1)])
def test_config(processes, accumulation, cfg):
    cfg.optim_wrapper.accumulative_counts = 3
    assert apply_batch(cfg, processes).accumulation == accumulation
    warmup, steps = cfg.param_scheduler
    for _ in range(2):  # the second time as what a run leaves in its folder
        assert cfg.train_dataloader.batch_size == (1 if processes == 8 else 2)
        assert apply_batch(cfg, processes).accumulation == cfg.optim_wrapper.accumulative_counts == accumulation
    assert warmup.end == 500 and steps.milestones == [8, 11] and cfg.optim_wrapper.optimizer.lr == 0.01
    assert cfg.train_dataloader.sampler == dict(
        cfg.train_dataloader.sampler, type='eca_mm.StepSampler', images_per_step=8, shuffle=True
    )


def test_refuses_other_loops(cfg):
    with pytest.raises(UserError, match='auto_scale_lr counts no accumulated images, and a step has 8'):
        apply_batch(Config({**cfg.to_dict(), 'auto_scale_lr': dict(enable=True)}), 1)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    with pytest.raises(UserError, match='images_per_step goes with DefaultSampler, not InfiniteSampler'):
        apply_batch(cfg, 1)
    cfg.train_dataloader.sampler = None
    with pytest.raises(UserError, match='DefaultSampler, not None'):
        apply_batch(cfg, 1)
    cfg.train_cfg = dict(max_iters=9)
    cfg.train_dataloader.sampler = dict(type='DefaultSampler')
    with pytest.raises(UserError, match='images_per_step needs a schedule in epochs'):
        apply_batch(cfg, 1)


@HOOKS.register_module(force=True)
class Steps(Hook):
    seen = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        parts = len(data_batch) if isinstance(data_batch, list) else 1
        self.seen.append((runner.iter, parts, outputs['loss'].item()))


def test_an_iteration_is_a_step_of_the_optimiser(trained, tmp_path):
    """In parts of one, two and eight images: as many iterations, and of each the loss of all its images."""
    found = {}
    for images in (1, 2, 8):
        Steps.seen.clear()
        run = dict(NO_VALIDATION, train_dataloader__batch_size=images, custom_hooks=[dict(type='Steps')])
        trained(f'of {images}', **run)
        found[images] = list(zip(*Steps.seen, strict=True))
    for images, (iterations, parts, losses) in found.items():
        assert iterations == (0, 1, 2, 3) and set(parts) == {8 // images}
        assert losses == pytest.approx(found[8][2], rel=1e-4)
    assert len(set(found[8][2])) == 4


def test_a_loop_that_is_none_of_mmengines(trained):
    run = dict(train_cfg=dict(_delete_=True, type='MyLoop', max_epochs=1), train_dataloader__batch_size=4)
    with pytest.raises(
        UserError, match='images_per_step goes with EpochBasedTrainLoop, not MyLoop: remove one of them'
    ):
        trained(**run)


def test_several_optimisers(cfg):
    """mmengine accumulates for one alone."""
    cfg.optim_wrapper = ConfigDict(constructor='Mine', one=cfg.optim_wrapper)
    with pytest.raises(UserError, match='2 images x 4 accumulated .*, and several optimisers cannot accumulate'):
        apply_batch(cfg, 1)
    assert apply_batch(cfg, 4).accumulation == 1 and set(cfg.optim_wrapper) == {'constructor', 'one'}


def test_losses_that_a_part_has_not():
    """The means are of the parts that have them."""
    given, seen = iter([dict(loss=torch.tensor(1.0), mask=2), dict(loss=torch.tensor(4.0))]), {}
    hooks = dict(call_hook=lambda name, **kwargs: seen.update({name: kwargs}))
    model = SimpleNamespace(train_step=lambda part, optim_wrapper: next(given))
    loop = ResumableEpochs.__new__(ResumableEpochs)
    loop._runner, loop._iter = SimpleNamespace(parts=2, model=model, optim_wrapper=None, **hooks), 0
    loop.run_iter(3, ['a', 'b'])
    assert seen['after_train_iter'] == dict(batch_idx=3, data_batch=['a', 'b'], outputs=dict(loss=2.5, mask=2.0))


def test_a_foreign_config_is_left_alone():
    cfg = Config(dict(train_dataloader=dict(batch_size=2)))
    before = cfg.to_dict()
    assert apply_batch(cfg, 1) is None and cfg.to_dict() == before
