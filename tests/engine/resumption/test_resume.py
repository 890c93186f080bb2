"""Which checkpoint a run goes on from, and what is said about it."""

import os
import signal

import pytest
import torch

from eca_mm.checkpoints import read_checkpoint
from eca_mm.engine import Interrupted
from eca_mm.engine.resumption.work_dir import newest
from eca_mm.errors import ExistingFileError, MissingFileError, UserError
from eca_mm.models import ECAResNet
from tests.support import NO_VALIDATION, train_shortly


@pytest.fixture(scope='module')
def epoch_1(classifier, tmp_path_factory):
    """The checkpoint of the classifier's first epoch, in a folder with a blank."""
    work = tmp_path_factory.mktemp('resume') / 'first dir'
    return train_shortly(classifier, work, **NO_VALIDATION, epochs=1).checkpoint


def test_by_iteration(trained, classifier, tmp_path, capsys):
    file = tmp_path / 'by_iteration.py'
    file.write_text(f"""
_base_ = {str(classifier)!r}
images_per_step = None
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=3)
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1))
param_scheduler = dict(_delete_=True, type='LinearLR', by_epoch=False, begin=0, end=3)
""")
    run = dict(config=file, epochs=None, **NO_VALIDATION)
    with pytest.raises(Interrupted, match=r'iteration 1 of 3\. .*iter_2\.pth is the last.* with --resume goes on'):
        trained(**run, custom_hooks=[dict(type='Interrupt', after=2)])
    whole = (tmp_path / 'work/iter_1.pth').read_bytes()
    assert trained(**run, resume='auto').checkpoint.name == 'iter_3.pth'
    assert 'resumed epoch: 0, iter: 2' in capsys.readouterr().out
    assert (tmp_path / 'work/iter_1.pth').read_bytes() == whole  # not written anew


def test_checkpoints_by_iteration_at_the_end_of_an_epoch(trained, tmp_path):
    """They are of before the epoch's end: what comes there is done when the run goes on, and its last validation."""
    run = dict(default_hooks__checkpoint__by_epoch=False, default_hooks__checkpoint__interval=2)
    run |= dict(param_scheduler=[dict(type='StepLR', step_size=1, gamma=0.5)], train_cfg__val_interval=1)
    whole = torch.load(trained('whole', **run).checkpoint, weights_only=False)
    with pytest.raises(Interrupted, match=r'iteration 2 of 4\. .*iter_2\.pth is the last checkpoint'):
        trained(**run, custom_hooks=[dict(type='Signal', number=signal.SIGTERM, after=2)])
    summary = trained(resume='auto', **run)
    state = torch.load(summary.checkpoint, weights_only=False)
    assert summary.checkpoint.name == 'iter_4.pth' and len(summary.metrics) == 2
    assert state['optimizer']['param_groups'][0]['lr'] == whole['optimizer']['param_groups'][0]['lr'] == 0.0005
    assert all(value.equal(whole['state_dict'][key]) for key, value in state['state_dict'].items())
    assert trained(resume='auto', **run).checkpoint == summary.checkpoint  # of a finished one too


def test_nothing_is_started_anew(trained, tmp_path):
    """No file: a new run; only others or damaged ones: a sentence; an older one: that."""
    (tmp_path / 'best_accuracy_epoch_1.pth').write_bytes(b'of no use to resume')
    with pytest.raises(MissingFileError, match='nowhere'):  # beyond looking for a checkpoint
        trained('', resume='auto', load_from='nowhere.pth')
    for name in ('mine.pth', 'epoch_3.pth'):
        (tmp_path / name).write_bytes(b'half')
        with pytest.raises(UserError, match=rf'has .*{name}.* but no complete'):
            trained('', resume='auto')
    torch.save(dict(state_dict={}), tmp_path / 'epoch_2.pth')
    os.utime(tmp_path / 'epoch_2.pth', (1, 1))
    with pytest.raises(UserError, match='epoch_2.pth'):
        trained('', resume='auto')


def test_the_newest_is_the_one_of_most_iterations(epoch_1, tmp_path):
    """Whenever it was written; damaged ones, by 4 KB of zeros or at the end, are passed over with a warning."""
    state = torch.load(epoch_1, weights_only=False)
    for name, iteration in (('epoch_1', 2), ('resume_iter_3', 3), ('epoch_2', 4), ('epoch_3', 6), ('resume_iter_7', 7)):
        state['meta'].update(iter=iteration, steps=iteration)
        torch.save(state, tmp_path / f'{name}.pth')
    os.utime(tmp_path / 'epoch_1.pth')
    whole = (tmp_path / 'epoch_3.pth').read_bytes()
    middle = len(whole) // 2
    (tmp_path / 'resume_iter_7.pth').write_bytes(whole[:middle])
    (tmp_path / 'epoch_3.pth').write_bytes(whole[:middle] + bytes(4096) + whole[middle + 4096 :])
    with pytest.raises(UserError, match=r'epoch_3\.pth is damaged: .*checksum'):
        read_checkpoint(tmp_path / 'epoch_3.pth')
    with pytest.warns(UserWarning, match=r'damaged, passed over; resuming from the older .*epoch_2\.pth') as warned:
        assert newest(tmp_path).name == 'epoch_2.pth'
    assert [next(n for n in ('resume_iter_7', 'epoch_3') if n in str(w.message)) for w in warned]


def test_weights_alone(trained, epoch_1, tmp_path):
    state = torch.load(epoch_1, weights_only=False)
    torch.save(dict(state_dict=state['state_dict']), tmp_path / 'bare.pth')
    with pytest.raises(UserError, match=r'bare\.pth has no meta, message_hub, optimizer: it holds weights'):
        trained(resume=str(tmp_path / 'bare.pth'))
    nowhere = dict(type='Pretrained', checkpoint='nowhere.pth')
    weights = dict(load_from=str(tmp_path / 'bare.pth'), model__backbone__init_cfg=nowhere)
    started = trained(**NO_VALIDATION, epochs=1, **weights)
    assert started.checkpoint.name == 'epoch_1.pth' and started.trained


def test_load_from_what_lacks_attention(trained, tmp_path):
    """Then the rest of the backbone comes from its own weights, or their absence is a sentence."""
    backbone = ECAResNet(18, 3)
    weights = {key: torch.full_like(value, 0.25) for key, value in backbone.state_dict().items()}
    plain = {f'backbone.{key}': value / 2 for key, value in weights.items() if '.eca.' not in key}
    torch.save(weights, tmp_path / 'backbone.pth')
    torch.save(plain, tmp_path / 'plain.pth')
    changes = dict(NO_VALIDATION, epochs=1, load_from=str(tmp_path / 'plain.pth'), optim_wrapper__optimizer__lr=0.0)
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth'))
    checkpoint = trained(**changes, model__backbone__init_cfg=init).checkpoint
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    assert (state['backbone.layer1.0.eca.conv.weight'] == 0.25).all() and (
        state['backbone.conv1.weight'] == 0.125
    ).all()
    with pytest.raises(MissingFileError, match='backbone weights not found: nowhere'):
        trained('other', **changes, model__backbone__init_cfg=dict(type='Pretrained', checkpoint='nowhere.pth'))


def test_checkpoints_of_another_run(trained, epoch_1, tmp_path):
    """A new run does not mix with them, and replaces them only when asked to, when it begins."""
    work, never = (
        tmp_path / 'work',
        dict(default_hooks__checkpoint__interval=9, default_hooks__checkpoint__save_last=False),
    )
    work.mkdir()
    (work / 'epoch_1.pth').write_bytes(epoch_1.read_bytes())
    torch.save(dict(meta=dict(iter=18)), work / 'epoch_9.pth')
    for run in (dict(), dict(resume=str(epoch_1))):
        with pytest.raises(
            ExistingFileError, match=r'checkpoints of an earlier run \(epoch_1.pth, epoch_9.pth\).*--overwrite'
        ):
            trained(**run)
    with pytest.raises(ExistingFileError, match=r'newer checkpoints than epoch_1\.pth \(epoch_9\.pth\)'):
        trained(resume=str(work / 'epoch_1.pth'))
    with pytest.raises(MissingFileError, match='data not found'):
        trained(overwrite=True, train_dataloader__dataset__data_root='nowhere')
    assert len(list(work.glob('*.pth'))) == 2
    with pytest.raises(Interrupted, match='before the first checkpoint of this run: nothing to resume'):
        trained(overwrite=True, custom_hooks=[dict(type='Interrupt', after=1)])
    assert not list(work.glob('*.pth'))
    assert trained(**NO_VALIDATION, **never).checkpoint is None


def test_from_elsewhere(trained, epoch_1):
    """A resumed run that is interrupted at once goes on from where it came from, which is named."""
    with pytest.raises(Interrupted, match=rf"in epoch 2 of 2.*--resume '{epoch_1}' goes on from it"):
        trained(resume=str(epoch_1), custom_hooks=[dict(type='Interrupt', after=3)])


def test_another_batch(trained, epoch_1):
    """The same images per step in another split go on; others are refused, though the counters agree."""
    with pytest.raises(
        UserError, match='was trained with 1 process x 8 images x 1 .*, this run has 1 process x 4 images x 1 '
    ):
        trained(resume=str(epoch_1), images_per_step=4, train_dataloader__dataset__indices=8)


def test_batches_that_were_iterations(trained, epoch_1, tmp_path):
    """As an earlier version counted them; without accumulation both count alike."""
    state = torch.load(epoch_1, weights_only=False)
    for parts, old in (
        (1, '1 process x 8 images x 1 accumulated = 8'),
        (2, '1 process x 4 images x 2 accumulated = 8'),
    ):
        state['message_hub']['runtime_info']['batch'] = f'{old} images per optimiser step'
        torch.save(state, tmp_path / f'{parts}.pth')
    with pytest.raises(UserError, match=r'2\.pth is of an earlier version of eca_mm, which counted'):
        trained(resume=str(tmp_path / '2.pth'))
    with pytest.raises(
        UserError, match='was trained with 1 process x 8 images x 1 .*, this run has 1 process x 4 images'
    ):
        trained(resume=str(tmp_path / '1.pth'), images_per_step=4, train_dataloader__dataset__indices=8)
    assert trained(resume=str(tmp_path / '1.pth'), **NO_VALIDATION).checkpoint.name == 'epoch_2.pth'


def test_epochs_that_end_elsewhere(trained, epoch_1):
    """Of another dataset, or with other batches."""
    with pytest.raises(
        UserError, match='epoch 1 end at iteration 2, this run has it at 3: resume with the same dataset'
    ):
        trained(resume=str(epoch_1), train_dataloader__dataset__indices=24)


def test_another_optimizer(trained, epoch_1):
    with pytest.raises(UserError, match=r"another optimiser than Adam .*'step'.*load_from="):
        trained(resume=str(epoch_1), optim_wrapper__optimizer=dict(_delete_=True, type='Adam', lr=0.001))
