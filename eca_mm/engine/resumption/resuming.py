"""Going on from a checkpoint, in the middle of an epoch too, and with another split of the batch."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.runner import EpochBasedTrainLoop

from eca_mm.engine.config.batch import Batch
from eca_mm.engine.resumption.loops import ResumableEpochs
from eca_mm.engine.resumption.work_dir import last_validated
from eca_mm.errors import UserError


def resume_position(runner: Any, file: str, theirs: dict[str, int] | str | None) -> None:
    """Brings a StrictRunner that has loaded a checkpoint to its place in the epoch.

    Args:
        runner: Whose loop has the checkpoint's counters.
        file: The checkpoint.
        theirs: The split of the batch that it was trained with; None for a run without ``images_per_step``.

    Raises:
        UserError: If it was written with other images per step, between two of the optimiser's steps, with another dataset,
            or in the middle of an epoch of a loop that is not mmengine's.
    """
    loop, ours, count = runner.train_loop, runner.batch, runner.accumulation
    if isinstance(theirs, str):
        theirs = asdict(Batch(*map(int, re.findall(r'\d+', theirs)[:3])))
        if theirs['accumulation'] > 1:
            raise UserError(
                f'{file} is of an earlier version of eca_mm, which counted accumulated batches as iterations: finish it there, '
                f'or start from its weights, --cfg-options load_from={file}'
            )
    if theirs and ours and (old := Batch(**theirs)) != ours:
        if old.total != ours.total:
            raise UserError(f'{file} was trained with {old}, this run has {ours}: resume with the former')
        runner.logger.info(f'{file} was trained with {old}: from here on equal in distribution, not to the last bit')
    if runner.iter % count:
        raise UserError(
            f'{file} was written after iteration {runner.iter}, within a step of the optimiser that accumulates {count}, whose '
            'gradients are lost: resume from another checkpoint'
        )
    if not isinstance(loop, EpochBasedTrainLoop):
        # mmengine's loop would skip the sampler of a plain BatchSampler, and read and drop the images of any other.
        if runner.batch_sampler and hasattr(runner.batch_sampler.sampler, 'skip'):
            runner.batch_sampler.skip, loop.fast_forward_on_resume = runner.iter, True
        return

    length, known = len(loop.dataloader), runner.message_hub.runtime_info
    old_length = known['max_iters'] // known['max_epochs'] if 'max_iters' in known else length
    done = runner.iter - runner.epoch * length
    resumable = isinstance(loop, ResumableEpochs) and runner.batch_sampler is not None
    if old_length != length or not 0 <= done <= length * resumable:
        epochs = max(runner.epoch, 1)
        raise UserError(
            f'{file} has epoch {epochs} end at iteration {epochs * old_length}, this run has it at {epochs * length}: '
            'resume with the same dataset, and with the same processes and images per process unless the config has '
            'images_per_step'
            if old_length != length
            else f'{file} was written {done} iterations after the end of epoch {runner.epoch}, where this training loop cannot '
            'begin: resume from the end of an epoch'
        )
    if isinstance(loop, ResumableEpochs):
        loop.done, loop.validation_pending = done, not done and last_validated(Path(file).parent) < runner.steps
    if done:
        runner.batch_sampler.skip = done * runner.parts
