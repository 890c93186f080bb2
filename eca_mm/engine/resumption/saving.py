"""Checkpoints at any step, beside the training."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast, is_distributed, is_main_process, master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from eca_mm.engine.resumption.stopping import Signals, Stop
from eca_mm.engine.resumption.work_dir import last_validated, steps_of, write_validated
from eca_mm.output import write_atomically

KEPT = 2  # of the checkpoints for resuming alone


class _Handed(LocalBackend):
    """A file backend that hands what it is to write to a function; mmengine takes only texts as a backend's arguments."""

    to: Callable[[bytes, str], None]

    def put(self, obj: bytes, filepath: str) -> None:
        _Handed.to(obj, filepath)


register_backend('eca_mm.handed', _Handed, force=True)


class SteadyHook(Hook):
    """Keeps a run from losing work: checkpoints by time, an end at a whole step on a signal, randomness by place.

    These checkpoints are ``resume_iter_N.pth``, the last two of which are kept. One that is due by time is written by a thread
    of the main process, which takes from the training no more than serializing it into memory; one for a signal, at once.

    Args:
        signals: Entered.
        minutes: Between two checkpoints; None for those of epochs alone.
        timeout: How long processes wait for one another, in seconds.
    """

    priority = 'LOWEST'  # after the optimiser's schedules, averaged weights and the other checkpoints

    def __init__(self, signals: Signals, minutes: float | None, timeout: float) -> None:
        self.signals, self.minutes, self.timeout = signals, minutes, timeout
        self.group: Any = None
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._saved_at = time.monotonic()
        self._kept: list[Path] = []  # of its files, the oldest first

    def before_train(self, runner: Any) -> None:
        if is_distributed():  # on CPUs, so that no GPU is waited for
            self.group = torch.distributed.new_group(backend='gloo', timeout=timedelta(seconds=self.timeout))
        if is_main_process():
            self._kept = sorted(_resuming_alone(runner.work_dir), key=steps_of)
            if last_validated(runner.work_dir) > runner.steps:  # of a run that is written over
                write_validated(runner.work_dir, runner.steps, {})

    def before_train_epoch(self, runner: Any) -> None:
        self.signals.finishing = True

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        loop, done = runner.train_loop, runner.iter + 1
        in_epochs = isinstance(loop, EpochBasedTrainLoop)
        if done % runner.accumulation or done == loop.max_iters:
            return  # in the middle of a step, or at the end
        if in_epochs and batch_idx + 1 == len(loop.dataloader):
            return  # what comes at the end of an epoch comes first
        self._save_or_stop(runner, runner.epoch, done)

    def after_train_epoch(self, runner: Any) -> None:
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and not runner.iter % runner.accumulation:
            self._save_or_stop(runner, runner.epoch + 1, runner.iter)
        self.signals.finishing = False

    def _save_or_stop(self, runner: Any, epoch: int, iteration: int) -> None:
        have = runner.last_saved_iter == iteration
        if have:
            self._saved_at = time.monotonic()
        if number := self._agreed():
            self.finish(runner, epoch, iteration)
            if self.group is not None:
                torch.distributed.barrier(self.group)  # whoever ends first has torchrun end the others
            raise Stop(number, iteration)
        if self.minutes is not None and not have and time.monotonic() - self._saved_at >= 60 * self.minutes:
            self._save_beside(runner, epoch, iteration)

    def _agreed(self) -> int:
        if self.group is None:
            return self.signals.received
        number = torch.tensor(self.signals.received)
        torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX, self.group)
        return int(number)

    def finish(self, runner: Any, epoch: int, iteration: int) -> None:
        """Makes sure that there is a checkpoint of this iteration on the disk."""
        self.wait()
        if runner.last_saved_iter != iteration:
            self._save(runner, epoch, iteration, lambda data, path: self._write(runner, iteration, data, path))

    @master_only
    def _save_beside(self, runner: Any, epoch: int, iteration: int) -> None:
        self.wait()  # never two at once

        def put(data: bytes, path: str) -> None:
            self._writing = self._thread.submit(self._write, runner, iteration, data, path)

        self._save(runner, epoch, iteration, put)
        self._saved_at = time.monotonic()

    def wait(self) -> None:
        """Waits for the thread that writes.

        Raises:
            UserError: If it could not.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _save(self, runner: Any, epoch: int, iteration: int, put: Callable[[bytes, str], None]) -> None:
        _Handed.to = put
        runner.save_checkpoint(
            runner.work_dir,
            f'resume_iter_{iteration}.pth',
            meta=dict(epoch=epoch, iter=iteration),
            by_epoch=False,
            backend_args=dict(backend='eca_mm.handed'),
        )

    def _write(self, runner: Any, iteration: int, data: bytes, path: str) -> None:
        file = write_atomically(path, data)
        if runner.last_saved_iter <= iteration:  # no later one was written meanwhile
            runner.last_checkpoint = file
        self._kept = [*(old for old in self._kept if old != file), file]
        while len(self._kept) > KEPT:
            self._kept.pop(0).unlink(missing_ok=True)

    def before_val_epoch(self, runner: Any) -> None:
        if is_distributed():
            # Each process has its own statistics of batches, and the checkpoint those of the first.
            for buffer in runner.model.buffers():
                broadcast(buffer)

    def after_val_epoch(self, runner: Any, metrics: dict[str, Any] | None = None) -> None:
        if is_main_process():
            write_validated(runner.work_dir, runner.steps, metrics or {})  # the best checkpoint is there

    def after_val_iter(self, *_: Any, **__: Any) -> None:
        if self.signals.received:  # where what the handler raised was swallowed
            raise Stop(self.signals.received)

    def after_train(self, runner: Any) -> None:
        self.wait()
        if is_main_process() and runner.last_checkpoint and not runner.last_checkpoint.name.startswith('resume_'):
            for old in _resuming_alone(runner.work_dir):
                old.unlink(missing_ok=True)

    def close(self) -> None:
        """Ends the thread, after what it is writing."""
        self._thread.shutdown()


def _resuming_alone(folder: str | Path) -> list[Path]:
    return list(Path(folder).glob('resume_iter_*.pth'))
