"""Ends a training whose loss is no finite number any more."""

import math
import shlex
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from eca_mm.errors import UserError


class InvalidLossHook(Hook):
    """Ends a training after some iterations in a row with a loss that is NaN or infinite.

    Args:
        iterations: How many: the config's ``max_invalid_losses``. Mixed precision may have one that it recovers from.

    Raises:
        UserError: If ``iterations`` is not positive; after so many, with the learning rate, the images, and the last
            checkpoint from before the first of them.
    """

    priority = 'VERY_HIGH'  # before the hooks that write checkpoints

    def __init__(self, iterations: int) -> None:
        if not isinstance(iterations, int) or iterations < 1:
            raise UserError(f'max_invalid_losses must be a positive number of iterations, got {iterations!r}')
        self.iterations = iterations
        self.seen = 0
        self.checkpoint: Path | None = None

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        loss = float(torch.as_tensor((outputs or {}).get('loss', 0)).detach())
        if math.isfinite(loss):
            self.seen = 0
            return
        if not self.seen:
            self.checkpoint = runner.last_checkpoint
        self.seen += 1
        if self.seen < self.iterations:
            return
        rates = runner.optim_wrapper.get_lr()
        parts = [
            part for part in (data_batch if isinstance(data_batch, list) else [data_batch]) if isinstance(part, dict)
        ]
        images = [str(sample.get('img_path', '?')) for part in parts for sample in part.get('data_samples', [])]
        # Newer checkpoints are in the way, which have such a loss behind them.
        resume = f'`resume={shlex.quote(str(self.checkpoint))}` `resume_with_changes=True` `overwrite=True`'
        advice = resume if self.checkpoint else 'begin anew'
        raise UserError(
            f'the loss is {loss} after iteration {runner.iter + 1}, the {self.seen}. in a row without a finite one '
            f'(max_invalid_losses), with a learning rate of {max(next(iter(rates.values()))):g} and the images '
            f'{", ".join(images)}: {advice} with a lower learning rate, or with gradients clipped '
            '(optim_wrapper.clip_grad); tools/doctor.py CONFIG looks at the data'
        )
