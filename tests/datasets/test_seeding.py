"""Random numbers by position in the run: whatever the workers, the wrappers, the split of the batch and the place of resuming."""

import pickle
import random

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from eca_mm.datasets import SeededBatchSampler


class Drawn:
    """Each item is its index and a number from each generator."""

    metainfo = {}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return index, random.random(), float(np.random.rand()), float(torch.rand(1))


def batches(sampler=DefaultSampler, workers=0, skip=0, **options):
    given = sampler(Drawn(), seed=3)
    seeded = SeededBatchSampler(given, **{'batch_size': 2, 'seed': 5, **options})
    seeded.skip = skip
    return seeded, DataLoader(Drawn(), batch_sampler=seeded, num_workers=workers, collate_fn=list)


def test_what_an_image_draws():
    _, loader = batches()
    whole = list(loader)
    assert sorted(index for batch in whole for index, *_ in batch) == list(range(8))
    assert len({numbers for batch in whole for _, *drawn in batch for numbers in drawn}) == 24
    random.random()
    assert list(batches(workers=1)[1]) == whole == list(loader)
    assert list(batches(skip=3)[1]) == whole[3:] and list(batches(skip=3, workers=1)[1]) == whole[3:]
    in_fours = [item for batch in batches(batch_size=4)[1] for item in batch]
    assert in_fours == [item for batch in whole for item in batch]
    assert list(batches(seed=6)[1]) != whole


def test_an_infinite_sampler_resumes():
    _, loader = batches(InfiniteSampler)
    first = [batch for batch, _ in zip(loader, range(9), strict=False)]
    assert [batch for batch, _ in zip(batches(InfiniteSampler, skip=7)[1], range(2), strict=False)] == first[7:]


def test_its_length_is_in_steps():
    seeded, loader = batches(accumulation=2)
    assert len(loader) == len(seeded) == 2 and len(list(loader)) == 4


def test_pickling_draws_nothing():
    seeded, _ = batches()
    indices = next(iter(seeded))
    before = torch.get_rng_state()
    again = pickle.loads(pickle.dumps(indices))
    assert torch.equal(before, torch.get_rng_state()) and list(again) == list(indices) and len(again) == 2


def test_around_another_batch_sampler():
    """As mmengine builds it, with the config's own inside."""

    class Backwards:
        def __init__(self, sampler, batch_size):
            self.sampler, self.batch_size = sampler, batch_size

        def __len__(self):
            return 4

        def __iter__(self):
            indices = sorted(self.sampler, reverse=True)
            return (indices[i : i + self.batch_size] for i in range(0, 8, self.batch_size))

    loader = Runner.build_dataloader(
        dict(
            dataset=Drawn(),
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=True),
            batch_sampler=dict(type='eca_mm.SeededBatchSampler', seed=5, batch_sampler=dict(type=Backwards)),
            collate_fn=list,
        )
    )
    assert [[index for index, *_ in batch] for batch in loader] == [[7, 6], [5, 4], [3, 2], [1, 0]]
