"""Going on from a checkpoint, in the middle of an epoch too, and with another split of the batch."""

from pathlib import Path
from typing import Any

from mmengine.runner import EpochBasedTrainLoop

from eca_mm.engine.batch import Batch
from eca_mm.engine.resumption.loops import ResumableEpochs
from eca_mm.engine.resumption.work_dir import last_validated
from eca_mm.errors import UserError


def go_on(runner: Any, file: str, theirs: str | None) -> None:
    """Brings a StrictRunner that has loaded a checkpoint to its place in the epoch.

    Args:
        runner: Whose loop has the checkpoint's counters.
        file: The checkpoint.
        theirs: The split of the batch that it was trained with, as text; None for a run without ``images_per_step``.

    Raises:
        UserError: If it was written with other images per step, between two of the optimiser's steps, with another dataset,
            or in the middle of an epoch of a loop that is not mmengine's.
    """
    loop, before, ours = runner.train_loop, runner.iter, runner.batch
    factor = 1.0
    if theirs and ours:
        old = Batch.parse(theirs)
        if old.total != ours.total:
            raise UserError(f'{file} was trained with {theirs}, this run has {ours}: resume with the former')
        loop._iter, factor = _translated(file, before, old, ours), ours.accumulation / old.accumulation
        if old != ours:
            runner.logger.info(
                f'{file} was trained with {old}: from here on equal in distribution, not to the last bit'
            )
    elif before % runner.accumulation:
        _refuse_within_a_step(file, before, runner.accumulation)
    if factor != 1:
        _schedule_anew(runner)
    if not isinstance(loop, EpochBasedTrainLoop):
        if runner.places and hasattr(runner.places.sampler, 'skip'):  # with which the loop itself skips
            runner.places.first = runner.iter
        return

    length, known = len(loop.dataloader), runner.message_hub.runtime_info
    old_length = known['max_iters'] // known['max_epochs'] * factor if 'max_iters' in known else length
    done = runner.iter - runner.epoch * length
    resumable = isinstance(loop, ResumableEpochs) and runner.places is not None
    if old_length != length or not 0 <= done < length or (done and not resumable):
        epochs = max(runner.epoch, 1)
        raise UserError(
            f'{file} has epoch {epochs} end at iteration {epochs * old_length:.0f}, this run has it at {epochs * length}: '
            'resume with the same dataset, and with the same processes and images per process unless the config has '
            'images_per_step'
            if old_length != length
            else f'{file} was written {done} iterations after the end of epoch {runner.epoch}, where this training loop cannot '
            'begin: resume from the end of an epoch'
        )
    if isinstance(loop, ResumableEpochs):
        loop.done, loop.owed = done, not done and last_validated(Path(file).parent) < runner.steps
    if done:
        runner.places.skip = done


def _translated(file: str, iteration: int, old: Batch, new: Batch) -> int:
    steps, rest = divmod(iteration, old.accumulation)
    if rest:
        _refuse_within_a_step(file, iteration, old.accumulation)
    return steps * new.accumulation


def _refuse_within_a_step(file: str, iteration: int, count: int) -> None:
    raise UserError(
        f'{file} was written after iteration {iteration}, within a step of the optimiser that accumulates {count}, whose '
        'gradients are lost: resume from another checkpoint'
    )


def _schedule_anew(runner: Any) -> None:
    """Builds the schedules and steps them as far as the run is: those of the checkpoint count other iterations."""
    for group in runner.optim_wrapper.param_groups:
        group.update({key.removeprefix('initial_'): group[key] for key in list(group) if key.startswith('initial_')})
    schedulers = runner.param_schedulers = runner.build_param_scheduler(runner.cfg.get('param_scheduler') or [])
    for done in range(1, runner.iter + 1):
        for scheduler in schedulers:
            if not scheduler.by_epoch or done % len(runner.train_dataloader) == 0:
                scheduler.step()
