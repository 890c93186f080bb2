"""The components that a run adds to a data loader's config, for mmengine's ``build_dataloader`` to build."""

from typing import Any

from mmengine.dataset import BaseDataset, worker_init_fn
from mmengine.dist import get_rank
from mmengine.registry import DATASETS, FUNCTIONS
from torch.utils.data import IterableDataset

from eca_mm.datasets import GuardedDataset, SeededBatchSampler
from eca_mm.datasets.guarded import takes_lazy_init
from eca_mm.engine.config.parts import class_of, map_datasets
from eca_mm.engine.resumption import stopping


def with_guard(dataset: Any, scope: str, masks: bool) -> Any:
    """A dataset's config with each dataset in it, below wrappers, in a GuardedDataset."""

    def guard(part: Any) -> Any:
        kind = class_of(part, DATASETS, scope)
        bases = {base.__name__ for base in getattr(kind, '__mro__', ())}
        # A video's dataset counts frames, and mmdet's samplers ask for its class.
        if BaseDataset not in getattr(kind, '__mro__', ()) or 'BaseVideoDataset' in bases or not takes_lazy_init(kind):
            return part
        return dict(type=GuardedDataset, dataset=part, masks=masks, lazy_init=part.get('lazy_init', False))

    return map_datasets(dataset, guard)


def with_components(
    loader: Any, scope: str, seed: int | None, *, masks: bool, train: bool, accumulation: int = 1
) -> Any:
    """A data loader's config with guarded datasets, workers that outlast signals and, in training, a seed for each image.

    Args:
        loader: The config; it is not changed.
        scope: Of the config.
        seed: Of the run.
        masks: Whether masks are evaluated.
        train: Whether images are seeded by their position in the run.
        accumulation: Batches of an optimiser step, in training.
    """
    loader = dict(loader)
    kind = class_of(loader['dataset'], DATASETS, scope)
    loader['dataset'] = with_guard(loader['dataset'], scope, masks)
    loader['worker_init_fn'] = dict(
        type=init_worker,
        init=loader.get('worker_init_fn'),
        seed=seed,
        num_workers=loader.get('num_workers', 0),
        disable_subprocess_warning=loader.pop('disable_subprocess_warning', False),
    )
    if not train or (isinstance(kind, type) and issubclass(kind, IterableDataset)):
        return loader
    own, drop_last = loader.get('batch_sampler'), loader.pop('drop_last', False)
    shuffle = loader.pop('shuffle', False)
    if loader.get('sampler') is None:
        loader['sampler'] = dict(type='DefaultSampler', shuffle=shuffle)
    loader['batch_sampler'] = dict(
        type=SeededBatchSampler, seed=seed, accumulation=accumulation, drop_last=drop_last, batch_sampler=own
    )
    if accumulation > 1 and (workers := loader.get('num_workers', 0)):
        # The workers read the next step while one is computed.
        loader['prefetch_factor'] = max(loader.get('prefetch_factor') or 2, -(-accumulation // workers) + 1)
    return loader


def init_worker(
    worker: int, init: dict[str, Any] | None, seed: int | None, num_workers: int, disable_subprocess_warning: bool
) -> None:
    """Let a data worker outlast signals to the whole job, and then initialise it as the config or mmengine does."""
    stopping.init_worker(None, worker)
    if init is not None:
        options = dict(init)
        kind = options.pop('type')
        function: Any = FUNCTIONS.get(kind) if isinstance(kind, str) else kind
        function(worker, **options)
    elif seed is not None:
        worker_init_fn(worker, num_workers, get_rank(), seed, disable_subprocess_warning)
