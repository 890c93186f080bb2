"""Random numbers that are a function of the seed and the place in the run, not of what was drawn before.

A run that is resumed in the middle of an epoch then draws what the uninterrupted one does, and a checkpoint need not hold the
states of any generator: those of Python, numpy, torch and CUDA, in each process and each data worker, are set at every
iteration (:func:`seed_process`) and for every image (:class:`Places`). Neither the number of data workers nor, for the images,
that of the processes matters.

torchdata's StatefulDataLoader keeps the sampler's place too, but not the generators of its workers (their states are the
dataset's to save), and resumes only with as many workers as before.
"""

import random
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info, get_rank
from mmengine.hooks import Hook
from torch.utils.data import DataLoader


def seed_process(*key: int) -> None:
    """Sets the generators of Python, numpy, torch and CUDA to a function of a key, as different for different ones.

    >>> seed_process(0, 7); first = random.random()
    >>> seed_process(0, 8); seed_process(0, 7); random.random() == first
    True
    """
    _seed(key)
    if torch.cuda.is_initialized():  # asked without it, torch formats a traceback each time
        torch.cuda.manual_seed_all(_words(key)[2])


def _seed(key: Sequence[int]) -> None:
    python, numpy, of_torch = _words(key)
    random.seed(python)
    np.random.seed(numpy)
    torch.default_generator.manual_seed(of_torch)  # the CPU's


def _words(key: Sequence[int]) -> list[int]:
    return [int(word) for word in np.random.SeedSequence(key).generate_state(3)]


class SeedHook(Hook):
    """Sets the generators at each iteration of a training, and before each of its validations."""

    priority = 'VERY_HIGH'

    def before_val_epoch(self, runner: Any) -> None:
        seed_process(runner.seed, 2, runner.iter, get_rank())

    def before_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        seed_process(runner.seed, 1, runner.iter, get_rank())


class Places:
    """A batch sampler whose indices come with their places in the run: ``[(index, key), ...]``.

    Args:
        batches: Of a DataLoader; any that gives the same batches in an epoch again, such as one over a DefaultSampler.
        seed: Of the run.

    Attributes:
        skip: How many batches the next iteration leaves out, without reading their images.
        first: The number of the first batch where the sampler itself leaves out those before.
    """

    def __init__(self, batches: Any, seed: int) -> None:
        self.batches, self.seed = batches, seed
        self.skip = self.first = 0
        self.rank, self.processes = get_dist_info()

    @property
    def sampler(self) -> Any:
        """What mmengine tells the epoch."""
        return self.batches.sampler

    @property
    def batch_size(self) -> int:
        return self.batches.batch_size

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
        skip, self.skip = self.skip, 0
        first, self.first = self.first + skip, 0
        epoch = getattr(self.sampler, 'epoch', 0)
        for number, batch in enumerate(islice(self.batches, skip, None), first):
            # Of a DefaultSampler's images, place times processes plus rank is the place in the epoch's order.
            places = range(number * self.batch_size, (number + 1) * self.batch_size)
            yield [
                (index, (self.seed, 0, epoch, place * self.processes + self.rank))
                for place, index in zip(places, batch, strict=False)
            ]


def give_places(loader: DataLoader, seed: int) -> Places | None:
    """Has a data loader draw for each image what its place in the run says.

    Args:
        loader: Of a dataset with random access; changed in place, and its dataset too.
        seed: Of the run.

    Returns:
        The batch sampler that it has then; None, and no change, for a dataset without indices.
    """
    if loader.batch_sampler is None:
        return None
    places = Places(loader.batch_sampler, seed)
    object.__setattr__(loader, 'batch_sampler', places)  # DataLoader itself refuses
    dataset: Any = loader.dataset
    dataset.__getitems__ = partial(_images, dataset)  # which a loader prefers to one index after the other
    return places


def _images(dataset: Any, places: Sequence[tuple[int, Sequence[int]]]) -> list[Any]:
    images = []
    for index, key in places:
        _seed(key)  # also in the process that trains, without data workers: SeedHook sets what the iteration draws
        images.append(dataset[index])
    return images
