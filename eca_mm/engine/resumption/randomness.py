"""Set the random generators at each iteration to a function of the seed and the iteration.

Those of Python, numpy, torch and CUDA, in each process, are set here; each image has its own
(:mod:`eca_mm.datasets.seeding`), in each data worker.
"""

from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from eca_mm.datasets.seeding import seed_cpu, seeds_of


def seed_process(*key: int) -> None:
    """Set the generators of Python, numpy, torch and CUDA to a function of a key.

    >>> import random
    >>> seed_process(0, 7); first = random.random()
    >>> seed_process(0, 8); seed_process(0, 7); random.random() == first
    True
    """
    seed_cpu(key)
    if torch.cuda.is_initialized():  # asked without it, torch formats a traceback each time
        torch.cuda.manual_seed_all(seeds_of(key)[2])


class SeedHook(Hook):
    """Set the generators at each iteration of a training, and before each of its validations."""

    priority = 'VERY_HIGH'

    def before_val_epoch(self, runner: Any) -> None:
        seed_process(runner.seed, 2, runner.iter, get_rank())

    def before_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        seed_process(runner.seed, 1, runner.iter, get_rank())
