"""The paper's batch on any number of GPUs."""

from dataclasses import dataclass

from mmengine.config import Config, ConfigDict

from eca_mm.engine.config.parts import type_name
from eca_mm.errors import UserError


@dataclass(frozen=True)
class Batch:
    """Who contributes what to one step of the optimiser."""

    processes: int
    images: int  # of one process at once
    accumulation: int  # batches of one process

    @property
    def total(self) -> int:
        """Images of one step of the optimiser."""
        return self.processes * self.images * self.accumulation

    def __str__(self) -> str:
        processes, images = self.processes, self.images
        return (
            f'{processes} process{"es" * (processes > 1)} x {images} image{"s" * (images > 1)} x {self.accumulation} '
            f'accumulated = {self.total} images per optimiser step'
        )


def split_batch(images_per_step: int, processes: int, most_images: int) -> Batch:
    """Splits a step's images over processes and, where they do not fit at once, over accumulated batches.

    ``processes * images * accumulation = images_per_step`` with the largest possible ``images <= most_images``.

    Raises:
        UserError: If the processes cannot share the images equally, or ``images_per_step`` or ``most_images`` is not a
            positive integer.

    >>> split_batch(8, 1, 2)
    Batch(processes=1, images=2, accumulation=4)
    >>> str(split_batch(256, 8, 32))
    '8 processes x 32 images x 1 accumulated = 256 images per optimiser step'
    """
    for name, value in (('images_per_step', images_per_step), ('train_dataloader.batch_size', most_images)):
        if not isinstance(value, int) or value < 1:
            raise UserError(f'{name} must be a positive integer, got {value!r}')
    share, rest = divmod(images_per_step, processes)
    if rest:
        fitting = [n for n in range(1, images_per_step + 1) if images_per_step % n == 0]
        raise UserError(
            f'{processes} processes cannot share {images_per_step} images per step equally: start {fitting[:8]} of '
            'them, or set images_per_step (and the learning rate with it) by --cfg-options'
        )
    images = max(n for n in range(1, min(share, most_images) + 1) if share % n == 0)
    return Batch(processes, images, share // images)


def apply_batch(cfg: Config, processes: int) -> Batch | None:
    """Makes a config's optimiser step see ``cfg.images_per_step`` images whatever the number of processes.

    Sets the batch size (the config's is the most that goes to one process at once) and the accumulation, and rounds the epoch to
    whole steps. The learning rate stays the paper's. A config without ``images_per_step`` is left alone.

    Returns:
        The split, or None for such a config.

    Raises:
        UserError: As :func:`split_batch`; also for a sampler other than DefaultSampler, ``auto_scale_lr``, a training counted in
            iterations, or several optimisers that would have to accumulate.
    """
    if cfg.get('images_per_step') is None:
        return None
    loader = cfg.train_dataloader
    sampler = loader.get('sampler') or ConfigDict(type=None)
    name = type_name(sampler) or None
    if name not in ('DefaultSampler', 'StepSampler'):
        raise UserError(f'images_per_step goes with DefaultSampler, not {name}: remove one of them')
    if 'max_iters' in cfg.train_cfg:
        raise UserError('images_per_step needs a schedule in epochs, and train_cfg has max_iters: remove one of them')
    if (cfg.get('auto_scale_lr') or {}).get('enable'):
        raise UserError(
            f'auto_scale_lr counts no accumulated images, and a step has {cfg.images_per_step} on any number of GPUs: leave '
            'auto_scale_lr.enable out, or set images_per_step to None'
        )
    batch = split_batch(cfg.images_per_step, processes, loader.get('batch_size'))
    loader.batch_size = batch.images
    loader.sampler = ConfigDict(sampler, type='eca_mm.StepSampler', images_per_step=cfg.images_per_step)
    wrapper = cfg.optim_wrapper
    if batch.accumulation > 1 and 'optimizer' not in wrapper:
        raise UserError(
            f'{cfg.images_per_step} images per step are {batch}, and several optimisers cannot accumulate: start more processes, '
            'or raise train_dataloader.batch_size'
        )
    if batch.accumulation > 1 or 'accumulative_counts' in wrapper:
        wrapper.accumulative_counts = batch.accumulation
    return batch
