"""A sampler that makes an epoch a whole number of optimiser steps."""

import math
from typing import Any

from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class StepSampler(DefaultSampler):
    """mmengine's DefaultSampler, with the epoch rounded up to a multiple of ``images_per_step``.

    As there, the first images of the epoch's order fill it up. So every step of an epoch has all its parts.

    Args:
        dataset: The dataset to sample from.
        images_per_step: Images in one optimiser step, over all processes and accumulated batches.
        kwargs: Arguments of DefaultSampler (shuffle, seed).
    """

    def __init__(self, dataset: Any, images_per_step: int, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        self.total_size = math.ceil(len(dataset) / images_per_step) * images_per_step
        self.num_samples = self.total_size // self.world_size
