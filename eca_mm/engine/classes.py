"""The classes of a config: stated once, and the same everywhere."""

import os
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from eca_mm.engine.files import annotation_files, leaves
from eca_mm.errors import UserError

# Whose `num_classes` is not the dataset's: as in mmdet's NumClassCheckHook, and networks below a head.
OTHER_CLASSES = ('rpn_head', 'semantic', 'backbone')


def apply_classes(cfg: Config) -> None:
    """Has all of a config follow its ``classes``, if it states them.

    The datasets get them as their ``metainfo``, the model's heads their number, and evaluators the annotations that the
    dataloader beside them reads and no more ``topk`` than there are classes. What a base config has of these is replaced.

    Raises:
        UserError: If ``classes`` is no list of names, or a dataset has a ``metainfo`` with others.
    """
    classes = cfg.get('classes')
    if classes is None:
        return
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes) or not classes:
        raise UserError(f"classes must be a list of names, such as ('cat', 'dog'), or ('cat',) of one; got {classes!r}")
    if twice := sorted({name for name in classes if list(classes).count(name) > 1}):
        raise UserError(f'classes has {", ".join(map(repr, twice))} twice: state each once')
    cfg.classes = classes = tuple(classes)
    for kind in ('train', 'val', 'test'):
        loader = cfg.get(f'{kind}_dataloader')
        for dataset in leaves(loader):
            stated = (dataset.get('metainfo') or {}).get('classes')
            if stated is not None and tuple(stated) != classes:
                raise UserError(
                    f"classes = {classes!r}, but the metainfo of {kind}_dataloader's dataset has {tuple(stated)!r}: state them "
                    'once, as classes'
                )
            dataset['metainfo'] = {**(dataset.get('metainfo') or {}), 'classes': classes}
        files = annotation_files(loader)
        for evaluator in evaluators(cfg, kind):
            if evaluator.get('ann_file') is not None and len(files) == 1:
                evaluator['ann_file'] = str(files[0])
    for part in (cfg.model, cfg.get('data_preprocessor'), *evaluators(cfg, 'val'), *evaluators(cfg, 'test')):
        _follow(part, len(classes))


def _follow(part: Any, number: int) -> None:
    if isinstance(part, list | tuple):
        for inner in part:
            _follow(inner, number)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == 'num_classes':
                part[key] = number
            elif key == 'topk' and (isinstance(value, list | tuple) or _is_accuracy(part)):  # assigners have one too
                part[key] = tuple(k for k in topk_of(part) if k <= number) or (1,)
            elif not any(other in key for other in OTHER_CLASSES):
                _follow(value, number)


def _is_accuracy(part: dict[str, Any]) -> bool:
    return str(part.get('type')).split('.')[-1] == 'Accuracy'


def topk_of(part: dict[str, Any]) -> list[Any]:
    """The k of a config with ``topk``, which may be one alone; mmpretrain's default is 1."""
    topk = part.get('topk', 1)
    return list(topk) if isinstance(topk, list | tuple) else [topk]


def accuracies(cfg: Config, kind: str) -> list[Any]:
    """Those of :func:`evaluators` that are mmpretrain's Accuracy."""
    return [evaluator for evaluator in evaluators(cfg, kind) if _is_accuracy(evaluator)]


def evaluators(cfg: Config, kind: str) -> list[Any]:
    """The configs of the metrics of a kind, 'val' or 'test'."""
    found = cfg.get(f'{kind}_evaluator') or []
    return [e for e in (found if isinstance(found, list | tuple) else [found]) if isinstance(e, dict)]


def check_evaluated_file(cfg: Config, kind: str) -> None:
    """That predictions are compared with the annotations that the dataloader reads.

    Raises:
        UserError: If not.
    """
    files = annotation_files(cfg.get(f'{kind}_dataloader'))
    for evaluator in evaluators(cfg, kind):
        name = evaluator.get('ann_file')
        if not files or not isinstance(name, str) or '://' in name:
            continue
        if os.path.realpath(name) not in [os.path.realpath(file) for file in files]:
            raise UserError(
                f'{kind}_evaluator compares with {name}, and {kind}_dataloader reads {", ".join(map(str, files))}: set '
                f'{kind}_evaluator.ann_file to that, or state classes=(...) in the config, and it follows'
            )


def check_classes(cfg: Config, model: Any, dataset: Any, kind: str) -> None:
    """That a model and the metrics have as many classes as a dataset.

    Args:
        cfg: The config.
        model: Built, or wrapped for distributed training.
        dataset: Built.
        kind: 'train', 'val' or 'test', for the message.

    Raises:
        UserError: If folders of images are numbered otherwise than the classes, or a head's ``num_classes`` is another number
            than theirs, or a ``topk`` above it.
    """
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if classes is None:
        return
    if isinstance(classes, str):
        raise UserError(
            f'classes of the {kind} dataset must be a list of names: write ({classes!r},) for one, not {classes!r}'
        )
    folders = list(getattr(dataset, 'folder_to_idx', ()))  # mmpretrain's order, whatever the classes are
    if set(folders) & set(classes) and folders != list(classes):
        raise UserError(
            f'the {kind} dataset numbers its folders {", ".join(folders)}, and classes are {", ".join(map(str, classes))}: state '
            'them as the folders are called, in alphabetical order'
        )
    for name, number in _numbers(model):
        if number != len(classes):
            names = ', '.join(map(str, classes[:5])) + ', ...' * (len(classes) > 5)
            raise UserError(
                f"the model's {name} has num_classes={number}, and the {kind} dataset has {len(classes)} classes ({names}; "
                'the background is not one): state classes=(...) once in the config, and both follow'
            )
    for evaluator in accuracies(cfg, kind):
        if max((k for k in topk_of(evaluator) if isinstance(k, int)), default=0) > len(classes):
            raise UserError(
                f'{kind}_evaluator has topk={evaluator["topk"]}, and there are {len(classes)} classes: leave out what is more, '
                'or state classes=(...) in the config, and it follows'
            )


def _numbers(model: Any) -> Iterator[tuple[str, int]]:
    for name, module in model.named_modules():
        number = getattr(module, 'num_classes', None)
        if isinstance(number, int) and not any(other in name for other in OTHER_CLASSES):
            yield name.removeprefix('module.'), number
