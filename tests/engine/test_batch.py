"""The batch rule: how many processes, images and accumulated batches make one step of the optimiser."""

import copy
import itertools

import mmdet.engine  # noqa: F401  (registers its schedules)
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

from eca_mm.engine import load_config
from eca_mm.engine.batch import apply_batch, split_batch
from eca_mm.errors import UserError
from tests.support import REPOSITORY


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
    apply_batch(cfg, processes)
    warmup, steps = cfg.param_scheduler
    assert cfg.optim_wrapper.accumulative_counts == accumulation
    assert cfg.train_dataloader.batch_size == (1 if processes == 8 else 2)
    assert warmup.end == 500 * accumulation
    assert steps.milestones == [8, 11] and cfg.optim_wrapper.optimizer.lr == 0.01
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


@pytest.mark.parametrize('schedule', [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=10),
    dict(type='ConstantLR', factor=0.5, begin=0, end=10),
    dict(type='PolyLR', eta_min=0.1, begin=5, end=25),
    dict(type='mmdet.QuadraticWarmupLR', begin=0, end=10),
    dict(type='CosineAnnealingLR', T_max=20),
    dict(type='CosineRestartLR', periods=[10, 20], restart_weights=[1, 0.5], eta_min=0.1),
    dict(type='StepLR', step_size=7, gamma=0.5),
    dict(type='MultiStepLR', milestones=[5, 9], gamma=0.5),
    dict(type='OneCycleLR', total_steps=30, eta_max=1.0),
])  # fmt: skip
def test_schedules_in_iterations_are_stretched(schedule, whole_config):
    """A hundred times as many iterations, and after each hundred the learning rate of one."""
    rates = []
    for batch_size in (200, 2):
        cfg = copy.deepcopy(whole_config)
        cfg.merge_from_dict(dict(images_per_step=200, train_dataloader=dict(batch_size=batch_size)))
        cfg.param_scheduler = [dict(schedule, by_epoch=False)]
        factor = apply_batch(cfg, 1).accumulation
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 1.0)
        (scheduler,) = (PARAM_SCHEDULERS.build(c, default_args=dict(optimizer=optimizer)) for c in cfg.param_scheduler)
        curve = []
        for i in range(25 * factor):
            if i % factor == 0:
                curve.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            scheduler.step()
        rates.append(torch.tensor(curve))
    # A schedule reaches its end one iteration before it, which is not one of an optimiser step.
    assert (rates[0] - rates[1]).abs().mean() < 0.06
    assert rates[0].unique().numel() > 1


@pytest.mark.parametrize('name', ['ExponentialLR', 'ReduceOnPlateauLR', 'mine.Schedule'])
def test_refuses_schedules_in_iterations(name, cfg, whole_config):
    cfg.param_scheduler = dict(type=name, by_epoch=False)
    apply_batch(cfg, 4)  # nothing is accumulated
    cfg.train_dataloader = copy.deepcopy(whole_config.train_dataloader)
    with pytest.raises(UserError, match=rf'{name.split(".")[-1]} with by_epoch=False.* 4 iterations'):
        apply_batch(cfg, 1)


def test_a_foreign_config_is_left_alone():
    cfg = Config(dict(train_dataloader=dict(batch_size=2)))
    before = cfg.to_dict()
    assert apply_batch(cfg, 1) is None and cfg.to_dict() == before
