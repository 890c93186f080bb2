"""The batch rule: how many processes, images and accumulated batches make one step of the optimiser."""

import copy
import itertools

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.utils.data import DataLoader

from eca_mm.engine import load_config
from eca_mm.engine.batch import apply_batch, in_parts, split_batch
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
    assert cfg.train_dataloader.batch_size == 8 // processes and 'accumulative_counts' not in cfg.optim_wrapper
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


def test_a_batch_comes_in_parts():
    """By data workers too, in the order of the batch, the last part as long as the others."""
    for workers in (0, 1):
        loader = DataLoader(range(8), batch_size=4, num_workers=workers, collate_fn=list)
        in_parts(loader, 2)
        assert list(loader) == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


@HOOKS.register_module(force=True)
class Steps(Hook):
    seen = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.seen.append((runner.iter, len(data_batch), outputs['loss'].item()))


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
    with pytest.raises(
        UserError, match='images_per_step goes with EpochBasedTrainLoop, not MyLoop: remove one of them'
    ):
        trained(train_cfg=dict(_delete_=True, type='MyLoop', max_epochs=1))


def test_a_foreign_config_is_left_alone():
    cfg = Config(dict(train_dataloader=dict(batch_size=2)))
    before = cfg.to_dict()
    assert apply_batch(cfg, 1) is None and cfg.to_dict() == before
