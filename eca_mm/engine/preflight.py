"""Checks before a run: of the files that a config names, and then of the datasets, metrics and model that were built of it."""

import os
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from eca_mm.engine.config.classes import OTHER_CLASSES
from eca_mm.engine.config.parts import accuracies, annotation_files, evaluators, topk_of
from eca_mm.errors import UserError


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
