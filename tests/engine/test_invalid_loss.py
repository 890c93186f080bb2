"""A training whose loss is no finite number ends, and says where and what to do."""

import pytest

from eca_mm.cli.flags import name_flags
from eca_mm.errors import UserError
from tests.support import NO_VALIDATION


def test_it_ends_with_what_is_needed_to_go_on(trained, tmp_path):
    """Finite in the first of two iterations of an epoch; the checkpoint of the first epoch is from before.

    Of a step in two parts, all images are named.
    """
    schedule = [dict(type='MultiStepLR', milestones=[1], gamma=1e38, by_epoch=True)]
    run = dict(NO_VALIDATION, epochs=3, param_scheduler=schedule, train_dataloader__batch_size=4)
    with pytest.raises(UserError, match='the loss is nan after iteration 4') as error:
        trained(**run, max_invalid_losses=1)
    sentence = str(error.value)
    assert 'a learning rate of 1e+35' in sentence and sentence.count('.png') == 8
    flags = f'--resume {tmp_path}/work/epoch_1.pth --resume-with-changes --overwrite with a lower learning rate'
    assert flags in name_flags(sentence)
    assert not (tmp_path / 'work/epoch_2.pth').exists()


def test_a_few_are_borne(trained):
    """The fourth iteration is the last."""
    schedule = [dict(type='MultiStepLR', milestones=[1], gamma=1e38, by_epoch=True)]
    assert trained(**NO_VALIDATION, epochs=2, param_scheduler=schedule).checkpoint.name == 'epoch_2.pth'


def test_its_number(trained):
    with pytest.raises(UserError, match='max_invalid_losses must be a positive number of iterations, got 0'):
        trained(**NO_VALIDATION, max_invalid_losses=0)
