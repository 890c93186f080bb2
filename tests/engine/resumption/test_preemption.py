"""Runs that are ended at any step: what they say and leave, and that they end as if they had not been."""

import errno
import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS

from eca_mm.engine import Interrupted
from eca_mm.engine.resumption.randomness import SeedHook
from eca_mm.engine.resumption.saving import PreemptionHook
from eca_mm.engine.resumption.stopping import Signals
from eca_mm.engine.resumption.work_dir import LOCK, claimed, newest
from eca_mm.errors import UserError
from tests.support import NO_VALIDATION, REPOSITORY, train_shortly

# Two epochs of three steps of four images, in two accumulated batches, by two data workers; flips, crops and dropped paths.
AUGMENTED = dict(
    images_per_step=4,
    train_dataloader__dataset__indices=12,
    train_dataloader__batch_size=2,
    train_dataloader__num_workers=2,
    train_dataloader__dataset__pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='RandomResizedCrop', scale=32),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackInputs'),
    ],
    model__backbone__drop_path_rate=0.2,
    param_scheduler=[dict(type='LinearLR', by_epoch=False, begin=0, end=3), dict(type='MultiStepLR', milestones=[1])],
)


def weights(checkpoint):
    return torch.load(checkpoint, weights_only=False)['state_dict']


def assert_equal(one, other):
    assert one.keys() == other.keys() and all(value.equal(other[key]) for key, value in one.items())


@pytest.fixture(scope='module')
def uninterrupted(classifier, tmp_path_factory):
    return weights(train_shortly(classifier, tmp_path_factory.mktemp('whole'), **AUGMENTED, **NO_VALIDATION).checkpoint)


@pytest.mark.parametrize(('name', 'after', 'place'), [
    ('SIGTERM', 2, 'epoch 1 of 2, iteration 2 '),
    ('SIGUSR1', 3, 'epoch 1 of 2, iteration 3 '),
    ('SIGINT', 4, 'epoch 2 of 2, iteration 4 '),
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


def test_another_split_of_the_batch(trained):
    """Resumed with four images at once instead of two times two: the same but for rounding, whatever counts iterations."""
    average = dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.5)
    run = AUGMENTED | NO_VALIDATION | dict(model__backbone__drop_path_rate=0.0, train_dataloader__num_workers=0)
    run |= dict(param_scheduler=[dict(type='ExponentialLR', gamma=0.5, by_epoch=False)])
    whole = torch.load(trained('whole', **run, custom_hooks=[average]).checkpoint, weights_only=False)
    with pytest.raises(Interrupted):
        trained('stopped', **run, custom_hooks=[average, dict(type='Signal', number=signal.SIGTERM, after=4)])
    run['train_dataloader__batch_size'] = 4
    checkpoint = trained('stopped', resume='auto', **run, custom_hooks=[average]).checkpoint
    one = torch.load(checkpoint, weights_only=False)
    assert whole['meta']['iter'] == one['meta']['iter'] == 6
    rates = [state['optimizer']['param_groups'][0]['lr'] for state in (whole, one)]
    assert rates == [0.001 / 2**5] * 2  # which ends with the run
    for key, value in whole['state_dict'].items():
        torch.testing.assert_close(one['state_dict'][key], value, rtol=1e-3, atol=5e-5)


def test_a_run_that_accumulates_by_itself(trained, tmp_path):
    """By mmengine's own accumulative_counts: it stops at whole steps, and the newest is that of most steps."""
    run = NO_VALIDATION | dict(images_per_step=None, train_dataloader__batch_size=4, epochs=1)
    run |= dict(optim_wrapper__accumulative_counts=2)
    with pytest.raises(Interrupted, match=r'iteration 2 of 4.*resume_iter_2\.pth is the last checkpoint'):
        trained(**run, custom_hooks=[dict(type='Signal', number=signal.SIGTERM, after=1)])
    assert torch.load(newest(tmp_path / 'work'), weights_only=False)['meta']['steps'] == 1
    assert trained(**run, resume='auto').checkpoint.name == 'epoch_1.pth'


def test_a_validation_cut_short_is_run_again(classifier, tmp_path, monkeypatch):
    """After the last epoch too, and the best checkpoint is made then, of which the epoch's knows."""
    monkeypatch.chdir(tmp_path)
    trained = partial(train_shortly, classifier, 'work')  # as a path usually is
    run = dict(
        epochs=1, default_hooks__checkpoint__save_best='accuracy/top1', default_hooks__checkpoint__rule='greater'
    )
    with pytest.raises(
        Interrupted, match='stopped by SIGHUP in the validation after epoch 1 of 1, iteration 2 of 2.*epoch_1'
    ):
        trained(**run, custom_hooks=[dict(type='Signal', number=signal.SIGHUP, validation=True)])
    best = tmp_path / 'work/best_accuracy_top1_epoch_1.pth'
    assert not best.exists()
    summary = trained(**run, resume='auto')
    assert set(summary.metrics) == {'accuracy/top1', 'accuracy/top5'} and best.exists()
    state = torch.load(tmp_path / 'work/epoch_1.pth', weights_only=False)
    assert state['message_hub']['runtime_info']['best_ckpt'] == str(best)
    assert 'was trained already; its last validation was run' in str(summary)
    assert trained(**run, resume='auto').metrics == {}


def test_the_new_file_is_whole_before_the_old_one_goes(trained, tmp_path, monkeypatch):
    """With one checkpoint kept, and one best: a kill while the second is written loses neither."""
    monkeypatch.setitem(CheckpointHook.rule_map, 'greater', lambda x, y: True)
    kept = {f'default_hooks__checkpoint__{key}': value for key, value in (('max_keep_ckpts', 1), ('rule', 'greater'))}
    run = dict(kept, default_hooks__checkpoint__save_best='accuracy/top1', train_cfg__val_interval=1)
    replace, work = os.replace, tmp_path / 'work'
    for cut, left in (
        ('epoch_2.pth', {'epoch_1.pth', 'best_accuracy_top1_epoch_1.pth'}),
        ('best_accuracy_top1_epoch_2.pth', {'epoch_2.pth', 'best_accuracy_top1_epoch_1.pth'}),
    ):

        def kill(source, target, cut=cut):
            if target.name == cut:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, 'replace', kill)
        with pytest.raises(Interrupted):
            trained(**run, resume='auto')
        assert {file.name for file in work.glob('*.pth')} == left
    monkeypatch.setattr(os, 'replace', replace)
    trained(**run, resume='auto')
    assert {file.name for file in work.glob('*.pth')} == {'epoch_2.pth', 'best_accuracy_top1_epoch_2.pth'}


def test_checkpoints_by_time(trained, tmp_path, monkeypatch):
    """The last two, beside those of epochs; what goes wrong beside the training is said in it."""
    run = dict(NO_VALIDATION, images_per_step=2, checkpoint_every=1e-9)
    with pytest.raises(Interrupted, match=r'resume_iter_\d\.pth is the last'):
        trained(**run, custom_hooks=[dict(type='Interrupt', after=6)])
    assert sorted(file.name for file in (tmp_path / 'work').glob('*.pth')) == ['resume_iter_4.pth', 'resume_iter_5.pth']

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(UserError, match=r'resume_iter_6\.pth cannot be written \(No space left on device\): make room'):
        trained(**run, resume='auto')


def test_what_is_written_late_is_not_the_last(tmp_path):
    """By a thread, on a slow disk, when the checkpoint of the epoch is there already."""
    runner = SimpleNamespace(last_saved_iter=6, last_checkpoint='epoch_1.pth')
    hook = PreemptionHook(None, 1.0, 1.0)
    hook._write(runner, 5, b'', tmp_path / 'resume_iter_5.pth')
    assert runner.last_checkpoint == 'epoch_1.pth'
    hook._write(runner, 6, b'', tmp_path / 'resume_iter_6.pth')
    assert runner.last_checkpoint == tmp_path / 'resume_iter_6.pth'


def test_a_validation_draws_what_its_place_says():
    """Whatever was drawn before, as in a validation that is run again."""
    hook, drawn = SeedHook(), []
    for iteration in (6, 6, 12):
        torch.rand(iteration + len(drawn))
        hook.before_val_epoch(SimpleNamespace(seed=0, iter=iteration))
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1] != drawn[2]


@HOOKS.register_module(force=True)
class FullDisk(Hook):
    def after_train_iter(self, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'scalars.json')


def test_a_disk_that_is_full_elsewhere(trained):
    with pytest.raises(
        UserError,
        match=r'scalars\.json cannot be written \(No space left on device\): make room there and go on .*resume_iter_1\.pth',
    ):
        trained(custom_hooks=[dict(type='FullDisk')])


def test_one_run_in_a_folder(trained, tmp_path, monkeypatch):
    """What a kill does not leave locked."""
    (tmp_path / 'work').mkdir()
    holding = 'import fcntl, sys; f = open(sys.argv[1], "w"); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()'
    with subprocess.Popen(
        [sys.executable, '-c', holding, tmp_path / 'work' / LOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match='another run is writing into .*work'):
            trained()
        other.kill()
        other.wait()
    names = [f'.{letter * 16}.eca_mm.tmp' for letter in 'ab']
    for name in names:
        (tmp_path / 'work' / name).write_text('half of a checkpoint')
    os.utime(tmp_path / 'work' / names[0], (0, 0))
    monkeypatch.setattr('fcntl.lockf', no_locks)  # then the newer one may be being written
    with pytest.warns(UserWarning, match='cannot be locked'), claimed(tmp_path / 'work'):
        assert {file.name for file in (tmp_path / 'work').iterdir()} == {LOCK, names[1]}
    monkeypatch.undo()
    with claimed(tmp_path / 'work'):
        assert {file.name for file in (tmp_path / 'work').iterdir()} == {LOCK}


def no_locks(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_lock_that_is_no_file(tmp_path):
    (tmp_path / LOCK).write_bytes(b'\xff\xfe\x80')
    with claimed(tmp_path) as restarted:
        assert not restarted
    (tmp_path / LOCK).unlink()
    for make in (lambda lock: lock.mkdir(), lambda lock: lock.rmdir() or lock.symlink_to(LOCK)):
        make(tmp_path / LOCK)
        with pytest.raises(UserError, match=rf'{LOCK}.*(is not a file|cannot be opened).*remove it'), claimed(tmp_path):
            pass
    with pytest.raises(UserError, match='File name too long'), claimed(tmp_path / ('x' * 300)):
        pass


@pytest.mark.parametrize('broken', ['move', 'remove', 'full'])
def test_a_work_directory_that_cannot_be_written(trained, tmp_path, monkeypatch, broken):
    """The step is finished, its checkpoint is written where that is possible, and the run says where."""
    write = os.fsync

    def fail(self, *_, **__):
        if broken == 'move':
            (tmp_path / 'work').rename(tmp_path / 'moved')
        elif broken == 'remove':
            shutil.rmtree(tmp_path / 'work')
        elif write is os.fsync:  # once, for the work directory; the folder beside it has room
            monkeypatch.setattr(os, 'fsync', lambda descriptor: monkeypatch.undo() or full())
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), 'scalars.json')

    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FullDisk, 'after_train_iter', fail)
    with pytest.raises((UserError, FileNotFoundError)) as error:
        trained(**NO_VALIDATION, custom_hooks=[dict(type='FullDisk')])
    (file,) = tmp_path.rglob('*resume_iter_1.pth')
    assert torch.load(file, weights_only=False)['meta']['iter'] == 1
    if broken == 'full':
        assert file.parent == tmp_path and isinstance(error.value, FileNotFoundError)  # a hook's own
    else:
        assert f'{file} is the last checkpoint' in str(error.value) and 'work is gone' in str(error.value)
        assert file.parent == tmp_path / ('moved' if broken == 'move' else 'work')


def test_a_message_does_not_stop_the_saving(monkeypatch):
    """Ctrl-C reaches the reader of a pipe as well: the handler's message is lost, and nothing else."""
    monkeypatch.setattr(os, 'write', full_pipe)
    with Signals() as signals:
        signals.finishing = True
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM


def full_pipe(*_):
    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def test_handlers_last_as_long_as_a_training():
    """A child process has the handlers from before."""
    before = signal.getsignal(signal.SIGTERM)
    with Signals():
        assert signal.getsignal(signal.SIGTERM) != before
        with multiprocessing.get_context('fork').Pool(1) as pool:
            assert pool.apply(signal.getsignal, (signal.SIGTERM,)) == before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_group_that_torchrun_starts_again(tmp_path, monkeypatch):
    """It knows its folder by its name, whoever left or joined; another run does not."""
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '0')
    for run, expected in (('a', False), ('a', True), ('ab', False), ('none', False), ('none', False)):
        monkeypatch.setenv('TORCHELASTIC_RUN_ID', run)
        with claimed(tmp_path) as restarted:
            assert restarted == expected
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
    with claimed(tmp_path) as restarted:
        assert restarted
    monkeypatch.delenv('TORCHELASTIC_RESTART_COUNT')
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / 'new'):
        1 / 0  # noqa: B018
    assert not (tmp_path / 'new').exists()  # nothing came of it


def test_a_second_signal_ends_at_once():
    """Even a process that hangs in a library, which Python's handlers do not reach."""
    hanging = """
import ctypes
from eca_mm.engine.resumption.stopping import Signals
with Signals() as signals:
    signals.finishing = True
    print(flush=True)
    while True:
        ctypes.CDLL(None).sleep(100)
"""
    with subprocess.Popen([sys.executable, '-c', hanging], stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        while process.stdout.readline().strip():  # what libraries print when they are imported
            pass
        for _ in range(2):  # of one request, as by `timeout uv run`
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 128 + signal.SIGINT


def test_a_signal_before_the_training(trained, monkeypatch):
    """It raises wherever the process is, such as in yapf, through which mmengine makes a SyntaxError of it."""

    def setting_up(*_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except BaseException as error:
            raise SyntaxError('Failed to format the config file') from error

    monkeypatch.setattr(importlib.import_module('eca_mm.engine.train'), '_train', setting_up)
    with pytest.raises(Interrupted, match='stopped by SIGTERM before the training began') as stopped:
        trained()
    assert stopped.value.code == 128 + signal.SIGTERM


def test_what_is_validated_is_what_the_checkpoint_has(monkeypatch):
    """Of several processes, the first one's batch statistics."""
    saving = importlib.import_module('eca_mm.engine.resumption.saving')
    monkeypatch.setattr(saving, 'is_distributed', lambda: True)
    monkeypatch.setattr(saving, 'broadcast', lambda tensor: tensor.fill_(7))  # what the first process has
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3))
    before = {key: value.clone() for key, value in model.named_parameters()}
    saving.PreemptionHook(None, None, 1.0).before_val_epoch(SimpleNamespace(model=model))
    assert all((value == 7).all() for value in model.buffers())
    assert_equal(dict(model.named_parameters()), before)
