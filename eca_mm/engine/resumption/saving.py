"""Write checkpoints at any step, beside the training, and somewhere else where the work directory cannot be written."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast, is_distributed, is_main_process, master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import EpochBasedTrainLoop

from eca_mm.engine.resumption.hook_states import hook_states, load_hook_states
from eca_mm.engine.resumption.stopping import Signals, Stop
from eca_mm.engine.resumption.work_dir import (
    last_validated,
    resume_checkpoints,
    steps_of,
    validated_state,
    write_validated,
)
from eca_mm.errors import UserError
from eca_mm.output import FULL, write_atomically

KEPT = 2  # resume_iter_*.pth

# Whose OSErrors do not end a run before its checkpoint is written: hooks write logs and checkpoints in these.
WRITING = ('after_train_iter', 'after_train_epoch', 'after_val_iter', 'after_val_epoch')


class _CallbackBackend(LocalBackend):
    """File backend that passes what is written to a function; mmengine takes only texts as arguments of a backend."""

    callback: Callable[[bytes, str], None]

    def put(self, obj: bytes, filepath: str) -> None:
        _CallbackBackend.callback(obj, filepath)


register_backend('eca_mm.callback', _CallbackBackend, force=True)


class PreemptionHook(Hook):
    """Write checkpoints by time, and stop the run at a whole step on a signal or where its output cannot be written.

    These checkpoints are ``resume_iter_N.pth``, the last two of which are kept. One that is due by time is written by a thread
    of the main process, which takes from the training no more than serializing it into memory; one for a signal, at once.

    Args:
        signals: Entered.
        minutes: Between two checkpoints; None for those of epochs alone.
        timeout: How long processes wait for one another, in seconds.

    Attributes:
        failure: The first error of a hook that could not write.
    """

    priority = 'LOWEST'  # after the optimiser's schedules, averaged weights and the other checkpoints

    def __init__(self, signals: Signals, minutes: float | None, timeout: float) -> None:
        self.signals, self.minutes, self.timeout = signals, minutes, timeout
        self.failure: OSError | None = None
        self.group: Any = None
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._saved_at = time.monotonic()
        self._kept: list[Path] = []  # of its files, the oldest first
        self._whole: tuple[int, int] | None = None  # epoch and iteration, between two steps of the optimiser
        self._validating = self._unwritten = self._gone = False
        self._folder: int | None = None  # descriptor of the work directory, which tells where it was moved to

    def call_all(self, runner: Any, name: str, **kwargs: Any) -> None:
        """Call a method of all hooks as ``Runner.call_hook`` does; errors of writing are kept until there is a checkpoint."""
        for hook in runner.hooks:
            try:
                getattr(hook, name)(runner, **kwargs)
            except OSError as error:
                if hook is self:
                    raise
                self.failure = self.failure or error

    def before_train(self, runner: Any) -> None:
        if is_distributed():  # on CPUs, so that no GPU is waited for
            self.group = torch.distributed.new_group(backend='gloo', timeout=timedelta(seconds=self.timeout))
        if runner.resuming:
            self._load_validated_state(runner)
        if is_main_process():
            with contextlib.suppress(OSError):  # Windows opens no folders
                self._folder = os.open(runner.work_dir, os.O_RDONLY)
            self._kept = sorted(resume_checkpoints(runner.work_dir), key=steps_of)
            if last_validated(runner.work_dir) > runner.steps:  # of a run that is overwritten
                write_validated(runner.work_dir, runner.steps, {})

    @staticmethod
    def _load_validated_state(runner: Any) -> None:
        """Load the state of hooks after the validation at this place, which came after the checkpoint was written."""
        folder = runner.last_checkpoint.parent
        if last_validated(folder) != runner.steps:
            return
        state = validated_state(folder)
        load_hook_states(runner, state)
        if state.get('stopped') and not any(change.key.startswith('custom_hooks') for change in runner.changes):
            runner.logger.info(
                'The training was stopped early, by a hook of the config: there is nothing left to train'
            )
            runner.train_loop.stop_training = True

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint['hooks'] = hook_states(runner)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        if runner.resuming:
            load_hook_states(runner, checkpoint.get('hooks'))

    def before_train_epoch(self, runner: Any) -> None:
        self.signals.finishing = True
        if runner.iter % runner.accumulation == 0:
            self._whole = (runner.epoch, runner.iter)

    def before_train_iter(self, *_: Any, **__: Any) -> None:
        self._whole = None

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        loop, done = runner.train_loop, runner.iter + 1
        if done % runner.accumulation:
            return  # in the middle of a step
        in_epochs = isinstance(loop, EpochBasedTrainLoop)
        if done == loop.max_iters or (in_epochs and batch_idx + 1 == len(loop.dataloader)):
            return  # what comes at the end of an epoch, or of the run, comes first
        self._save_or_stop(runner, runner.epoch, done)

    def after_train_epoch(self, runner: Any) -> None:
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and not runner.iter % runner.accumulation:
            self._save_or_stop(runner, runner.epoch + 1, runner.iter)
        self.signals.finishing = False

    def _save_or_stop(self, runner: Any, epoch: int, iteration: int) -> None:
        self._whole = (epoch, iteration)
        have = runner.last_saved_iter == iteration
        if have:
            self._saved_at = time.monotonic()
        due = self.minutes is not None and time.monotonic() - self._saved_at >= 60 * self.minutes
        if due and not have:
            self._save_beside(runner, epoch, iteration)
        number, failed = self._agreed()
        if number or failed or self._is_validated_with_others(runner, epoch, iteration):
            self.finish(runner, epoch, iteration)
        if not number and not failed:
            return
        if self.group is not None:
            torch.distributed.barrier(self.group)  # whoever ends first has torchrun end the others
        if number and runner.last_saved_iter == iteration:
            raise Stop(number, iteration)
        self._raise_failure(runner)

    @staticmethod
    def _is_validated_with_others(runner: Any, epoch: int, iteration: int) -> bool:
        """Check if a validation follows with averaged weights in the model, in which no checkpoint can be written."""
        loop = runner.train_loop
        if runner.val_loop is None or not any(isinstance(hook, EMAHook) for hook in runner.hooks):
            return False
        done, end = (epoch, loop.max_epochs) if isinstance(loop, EpochBasedTrainLoop) else (iteration, loop.max_iters)
        return done >= loop.val_begin and (done % loop.val_interval == 0 or done == end)

    def _agreed(self) -> tuple[int, bool]:
        """The signal that any process has received, and whether any could not write."""
        if self.group is None:
            return self.signals.received, self.failure is not None
        state = torch.tensor([self.signals.received, self.failure is not None])
        torch.distributed.all_reduce(state, torch.distributed.ReduceOp.MAX, self.group)
        return int(state[0]), bool(state[1])

    def _raise_failure(self, runner: Any) -> None:
        error, last, folder = self.failure, runner.last_checkpoint, Path(runner.work_dir)
        if error is None:
            raise UserError('the first process cannot write its output, and says which')
        moved = self._work_dir(runner)
        full = error.errno in FULL or getattr(error.__cause__, 'errno', None) in FULL
        if not (self._gone or full or isinstance(error, UserError)):
            raise error  # of a hook, for another reason
        if self._gone:
            what = f'the work directory {folder} is gone: it was renamed, removed or unmounted'
        elif isinstance(error, UserError):
            what = str(error).partition(': ')[0]
        else:
            what = f'{error.filename or folder} cannot be written ({error.strerror})'
        if last is None:
            raise UserError(f'{what}; there is no checkpoint: begin anew in another --work-dir')
        option = '--resume' if last.parent == folder else f'--resume {last}'
        if moved != folder:
            option = f'--work-dir {moved} --resume'
        advice = 'make room there and' if full else 'mend that and'
        raise UserError(f'{what}: {advice} go on with {option}; {last} is the last checkpoint')

    def finish(self, runner: Any, epoch: int, iteration: int) -> None:
        """Make sure that there is a checkpoint of this iteration on the disk, if possible in the work directory."""
        self._wait(runner)
        self._gone = self._gone or not Path(runner.work_dir).is_dir()  # which writing may make anew
        if runner.last_saved_iter != iteration:
            self._unwritten = False
            self._save(
                runner, epoch, iteration, lambda data, path: self._write_somewhere(runner, iteration, data, path)
            )
            if self._unwritten:
                runner.last_saved_iter = -1

    def rescue(self, runner: Any) -> None:
        """Write the checkpoint of a run that ends for an error between two steps, if it can be written."""
        if self._whole is None or self._whole[1] <= runner.resumed_iter:
            return
        if self._validating and any(isinstance(hook, EMAHook) for hook in runner.hooks):
            return  # written before
        with contextlib.suppress(Exception):  # the run's own error is the one to report
            self.finish(runner, *self._whole)

    @master_only
    def _save_beside(self, runner: Any, epoch: int, iteration: int) -> None:
        self._wait(runner)  # never two at once

        def put(data: bytes, path: str) -> None:
            self._writing = self._thread.submit(self._write, runner, iteration, data, path)

        if self.failure is None:
            self._save(runner, epoch, iteration, put)
            self._saved_at = time.monotonic()

    def _wait(self, runner: Any) -> None:
        """Wait for the thread that writes; keep its error."""
        writing, self._writing = self._writing, None
        try:
            if writing is not None:
                writing.result()
        except OSError as error:
            self.failure = self.failure or error
            runner.last_saved_iter = -1  # its file is not there

    def _save(self, runner: Any, epoch: int, iteration: int, put: Callable[[bytes, str], None]) -> None:
        _CallbackBackend.callback = put
        runner.save_checkpoint(
            runner.work_dir,
            f'resume_iter_{iteration}.pth',
            meta=dict(epoch=epoch, iter=iteration),
            by_epoch=False,
            backend_args=dict(backend='eca_mm.callback'),
        )

    def _write(self, runner: Any, iteration: int, data: bytes, path: str | Path) -> None:
        file = write_atomically(path, data)
        if runner.last_saved_iter <= iteration:  # no later one was written meanwhile
            runner.last_checkpoint = file
        self._kept = [*(old for old in self._kept if old != file), file]
        while len(self._kept) > KEPT:
            with contextlib.suppress(OSError):
                self._kept.pop(0).unlink(missing_ok=True)

    def _write_somewhere(self, runner: Any, iteration: int, data: bytes, path: str) -> None:
        """Write a checkpoint into the work directory, wherever it was moved to; else beside it, or into a temporary folder."""
        folder, name = self._work_dir(runner), Path(path).name
        try:
            self._write(runner, iteration, data, folder / name)
            return
        except OSError as error:
            self.failure = self.failure or error
        for other in (Path(runner.work_dir).parent, Path.cwd(), Path(tempfile.gettempdir())):
            with contextlib.suppress(OSError):
                runner.last_checkpoint = write_atomically(
                    other / f'{folder.name[:100]}_{runner.timestamp}_{name}', data
                )
                return
        self._unwritten = True

    def _work_dir(self, runner: Any) -> Path:
        if self._folder is not None:
            with contextlib.suppress(OSError):  # Linux alone tells it
                moved = os.readlink(f'/proc/self/fd/{self._folder}')
                if os.path.isdir(moved) and not os.path.isdir(runner.work_dir):
                    return Path(moved)
        return Path(runner.work_dir)

    def before_val_epoch(self, runner: Any) -> None:
        self._validating = True
        if is_distributed():
            # Each process has its own statistics of batches, and the checkpoint those of the first.
            for buffer in runner.model.buffers():
                broadcast(buffer)

    def after_val_epoch(self, runner: Any, metrics: dict[str, Any] | None = None) -> None:
        self._validating = False
        if is_main_process() and self.failure is None:
            try:
                write_validated(
                    runner.work_dir, runner.steps, metrics or {}, hook_states(runner)
                )  # the best checkpoint is there
            except OSError as error:
                self.failure = self.failure or error
        if self.failure is not None:
            self.rescue(runner)
            self._raise_failure(runner)

    def after_val_iter(self, *_: Any, **__: Any) -> None:
        if self.signals.received:  # where what the handler raised was swallowed
            raise Stop(self.signals.received)

    def after_train(self, runner: Any) -> None:
        self._wait(runner)
        stopped = getattr(runner.train_loop, 'stop_training', False) and runner.iter > runner.resumed_iter
        if self.failure is not None or stopped:
            self.finish(runner, runner.epoch, runner.iter)
        if self.failure is not None:
            self._raise_failure(runner)
        if is_main_process() and runner.last_checkpoint and not runner.last_checkpoint.name.startswith('resume_'):
            for old in resume_checkpoints(runner.work_dir):
                with contextlib.suppress(OSError):
                    old.unlink(missing_ok=True)

    def close(self) -> None:
        """End the thread, after what it is writing."""
        self._thread.shutdown()
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None
