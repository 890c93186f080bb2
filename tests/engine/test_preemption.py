"""Runs that are ended at any step: what they say and leave, and that they end as if they had not been."""

import signal

import pytest
import torch

from eca_mm.engine import Interrupted
from tests.support import NO_VALIDATION

# Two epochs of four steps of four images, in two accumulated batches, by two data workers; flips, crops and dropped paths.
AUGMENTED = dict(
    images_per_step=4,
    train_dataloader__batch_size=2,
    train_dataloader__num_workers=2,
    train_dataloader__dataset__pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='RandomResizedCrop', scale=32),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackInputs'),
    ],
    model__backbone__drop_path_rate=0.2,
    param_scheduler=[dict(type='LinearLR', by_epoch=False, begin=0, end=6), dict(type='MultiStepLR', milestones=[1])],
)


def weights(checkpoint):
    return torch.load(checkpoint, weights_only=False)['state_dict']


def assert_equal(one, other):
    assert one.keys() == other.keys() and all(value.equal(other[key]) for key, value in one.items())


@pytest.fixture(scope='module')
def uninterrupted(classifier, tmp_path_factory):
    from tests.support import train_shortly

    return weights(train_shortly(classifier, tmp_path_factory.mktemp('whole'), **AUGMENTED, **NO_VALIDATION).checkpoint)


@pytest.mark.parametrize(('name', 'after', 'place'), [
    ('SIGTERM', 3, 'epoch 1 of 2, iteration 4 '),  # in the middle of a step
    ('SIGUSR1', 8, 'epoch 1 of 2, iteration 8 '),
    ('SIGINT', 12, 'epoch 2 of 2, iteration 12 '),
])  # fmt: skip
def test_resumed_is_equal_to_the_bit(trained, uninterrupted, tmp_path, capfd, name, after, place):
    number = signal.Signals[name]
    with pytest.raises(Interrupted, match=rf'{place}.*\.pth is the last checkpoint.* --resume goes on') as stopped:
        trained(**AUGMENTED, **NO_VALIDATION, custom_hooks=[dict(type='Signal', number=number, after=after)])
    assert stopped.value.code == 128 + number and (name == 'SIGINT' or f'stopped by {name}' in str(stopped.value))
    assert (
        f'{name}: finishing this step, then a checkpoint is written; once more ends at once' in capfd.readouterr().err
    )
    summary = trained(resume='auto', **AUGMENTED, **NO_VALIDATION)
    assert_equal(weights(summary.checkpoint), uninterrupted)
    assert not list((tmp_path / 'work').glob('resume_*'))  # of no use after the end


def test_neither_workers_nor_the_split_change_the_images(trained, uninterrupted):
    """Without data workers, the same weights to the bit."""
    run = AUGMENTED | NO_VALIDATION
    assert_equal(weights(trained('alone', **run | dict(train_dataloader__num_workers=0)).checkpoint), uninterrupted)
