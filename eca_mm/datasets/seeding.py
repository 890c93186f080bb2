"""Random numbers that are a function of the seed and an image's position in the run.

A run that is resumed in the middle of an epoch then draws what the uninterrupted one does, and a checkpoint need not hold the
state of any generator. Neither the number of data workers nor that of the processes matters.

torchdata's StatefulDataLoader keeps the sampler's position too, but not the generators of its workers (their states are the
dataset's to save), and resumes only with as many workers as before.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler

Key = Sequence[int]


def seeds_of(key: Key) -> list[int]:
    """Three seeds, for Python, numpy and torch, as different for different keys."""
    return [int(word) for word in np.random.SeedSequence(key).generate_state(3)]


def seed_cpu(key: Key) -> None:
    """Set the CPU generators of Python, numpy and torch to a function of a key."""
    of_python, of_numpy, of_torch = seeds_of(key)
    random.seed(of_python)
    np.random.seed(of_numpy)
    torch.default_generator.manual_seed(of_torch)


class SeededIndices:
    """Indices of a batch. The data loader takes one and reads its image before the next; each sets the generators first.

    Args:
        indices: Of the dataset.
        keys: For :func:`seed_cpu`, one of each index.
    """

    def __init__(self, indices: Sequence[int], keys: Sequence[Key]) -> None:
        self.indices, self.keys = indices, keys

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        for index, key in zip(self.indices, self.keys, strict=True):
            seed_cpu(
                key
            )  # also in the process that trains, without data workers: SeedHook sets what the iteration draws
            yield index


@DATA_SAMPLERS.register_module()
class SeededBatchSampler:
    """Batch sampler that seeds each image by its position in the run, resumes in mid-epoch, and counts accumulated batches.

    Its length is in steps of the optimiser, as the loop, the schedules and the log count them: an iteration of
    ``ResumableEpochs`` reads ``accumulation`` batches.

    Args:
        sampler: A sampler; the same batches must come again in an epoch.
        batch_size: Images of a batch.
        seed: Of the run.
        accumulation: Batches of a step; the number of batches must be a multiple.
        drop_last: Leave out a last batch that is smaller.
        batch_sampler: Config of another batch sampler over ``sampler``, whose batches are seeded; None for torch's BatchSampler.

    Attributes:
        skip: Number of batches that the next iteration leaves out, without reading their images.
    """

    def __init__(
        self,
        sampler: Any,
        batch_size: int,
        seed: int,
        accumulation: int = 1,
        drop_last: bool = False,
        batch_sampler: dict[str, Any] | None = None,
    ) -> None:
        if batch_sampler is None:
            self.batches: Any = BatchSampler(sampler, batch_size, drop_last)
        else:
            self.batches = DATA_SAMPLERS.build(batch_sampler, default_args=dict(sampler=sampler, batch_size=batch_size))
        self.sampler = sampler  # mmengine tells it the epoch
        self.batch_size, self.seed, self.accumulation = batch_size, seed, accumulation
        self.skip = 0
        self.rank, self.processes = get_dist_info()

    def __len__(self) -> int:
        return len(self.batches) // self.accumulation

    def __iter__(self) -> Iterator[SeededIndices]:
        skip, self.skip = self.skip, 0
        epoch = getattr(self.sampler, 'epoch', 0)
        for number, batch in enumerate(islice(self.batches, skip, None), skip):
            # Of a DefaultSampler's images, position times processes plus rank is the position in the epoch's order.
            start = number * self.batch_size
            positions = (position * self.processes + self.rank for position in range(start, start + len(batch)))
            yield SeededIndices(batch, [(self.seed, 0, epoch, position) for position in positions])
