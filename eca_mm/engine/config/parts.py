"""Accessors of a config's parts, whether a ``type`` is a name or a class and a dataset is wrapped or not."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, Registry

LIBRARIES = ('mmdet', 'mmpretrain')  # in the order in which a model's name is looked up where no scope is stated


def type_name(part: Any) -> str:
    """The class's name in ``part['type']``, without scope or module; '' for a part without one.

    >>> type_name(dict(type='mmdet.CocoDataset')), type_name(dict(type=Path)), type_name({})
    ('CocoDataset', 'Path', '')
    """
    kind = part.get('type') if isinstance(part, dict) else None
    return str(getattr(kind, '__name__', kind or '')).split('.')[-1]


def class_of(part: Any, registry: Registry, scope: str) -> Any:
    """The class, or function, of ``part['type']``; None if there is none of this name."""
    kind = part.get('type') if isinstance(part, dict) else None
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(scope) as own:
        try:
            return own.get(kind)
        except (ImportError, KeyError):  # of a library that is not installed
            return None


def scope_of(cfg: Config) -> str:
    """The config's ``default_scope``, or else the library of its model: 'mmdet', 'mmpretrain', ..."""
    if stated := cfg.get('default_scope'):
        return str(stated)
    kind = cfg.get('model', {}).get('type')
    library = str(getattr(kind, '__module__', kind)).split('.')[0]
    if library.startswith('mm'):
        return library
    found = (name for name in LIBRARIES if class_of(cfg.get('model'), MODELS, name) is not None)
    return next(found, LIBRARIES[0])


def is_classifier(cfg: Config) -> bool:
    """Whether the config's model is mmpretrain's classifier, by its class, or else by the config's scope."""
    scope = scope_of(cfg)
    kind = class_of(cfg.get('model'), MODELS, scope)
    bases = {base.__name__ for base in inspect.getmro(kind)} if inspect.isclass(kind) else set()
    return 'BaseDetector' not in bases and ('BaseClassifier' in bases or scope == 'mmpretrain')


def is_rgb(cfg: Config) -> bool:
    """Whether the test images are RGB, as in mmpretrain's CIFAR; all others are BGR, as OpenCV reads them."""
    return any('CIFAR' in type_name(dataset) for dataset in datasets(cfg.get('test_dataloader')))


def datasets(loader: dict[str, Any] | None) -> Iterator[Any]:
    """The configs of a data loader's datasets: those that ConcatDataset, RepeatDataset and other wrappers hold."""
    dataset = (loader or {}).get('dataset') or {}
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if inner == [None]:
        yield dataset
    else:
        for part in inner:
            yield from datasets(dict(dataset=part))


def map_datasets(dataset: Any, change: Callable[[Any], Any]) -> Any:
    """A dataset's config with each of :func:`datasets` in it changed; the wrappers around them stay."""
    if dataset.get('datasets'):
        return {**dataset, 'datasets': [map_datasets(part, change) for part in dataset['datasets']]}
    if dataset.get('dataset') is not None:
        return {**dataset, 'dataset': map_datasets(dataset['dataset'], change)}
    return change(dataset)


def annotation_files(loader: dict[str, Any] | None) -> list[Path]:
    """The annotation files of a data loader's datasets."""
    return [data_root(dataset) / dataset['ann_file'] for dataset in datasets(loader) if dataset.get('ann_file')]


def data_root(dataset: dict[str, Any]) -> Path:
    """The folder that a dataset's other paths begin in."""
    return Path(dataset.get('data_root') or '')


def evaluators(cfg: Config, kind: str) -> list[Any]:
    """The configs of the metrics of a kind, 'val' or 'test'; MultiDatasetsEvaluator's own ones."""
    found = cfg.get(f'{kind}_evaluator') or []
    found = found if isinstance(found, list | tuple) else [found]
    inner = [part.get('metrics', part) if isinstance(part, dict) else part for part in found]
    flat = [metric for part in inner for metric in (part if isinstance(part, list | tuple) else [part])]
    return [metric for metric in flat if isinstance(metric, dict)]


def evaluates_masks(cfg: Config, kind: str) -> bool:
    """Whether a metric of a kind, 'val' or 'test', compares masks."""
    return any('segm' in str(evaluator.get('metric')) for evaluator in evaluators(cfg, kind))


def is_accuracy(part: Any) -> bool:
    """Whether a metric or head counts the best k classes."""
    return type_name(part) == 'Accuracy'


def accuracies(cfg: Config, kind: str) -> list[Any]:
    """Those of :func:`evaluators` that are mmpretrain's Accuracy."""
    return [evaluator for evaluator in evaluators(cfg, kind) if is_accuracy(evaluator)]


def topk_of(part: dict[str, Any]) -> list[Any]:
    """The k of a config with ``topk``, which may be a single number; mmpretrain's default is 1."""
    topk = part.get('topk', 1)
    return list(topk) if isinstance(topk, list | tuple) else [topk]
