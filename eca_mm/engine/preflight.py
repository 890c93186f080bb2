"""Checks before a run: of the files that a config names, and then of the datasets, metrics and model that were built of it."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from eca_mm.datasets.guarded import unwrapped
from eca_mm.engine.config.classes import OTHER_CLASSES
from eca_mm.engine.config.parts import accuracies, annotation_files, evaluators, topk_of, type_name
from eca_mm.errors import UserError


def check_evaluated_file(cfg: Config, kind: str) -> None:
    """Check that metrics compare with annotations of the images that the data loader reads.

    An annotation file is a data loader's own, or lists all its images under the same ids, as one that joins several does.

    Raises:
        UserError: If not, or two images have the same id for one metric.
    """
    files = annotation_files(cfg.get(f'{kind}_dataloader'))
    metrics = [metric for metric in evaluators(cfg, kind) if 'CocoMetric' in type_name(metric)]
    several = type_name(cfg.get(f'{kind}_evaluator')) == 'MultiDatasetsEvaluator'
    for metric, own in zip(metrics, files, strict=False) if several else ((metric, None) for metric in metrics):
        name, read = metric.get('ann_file'), [own] if own else files
        if not read or '://' in str(name):
            continue
        if isinstance(name, str) and os.path.realpath(name) not in map(os.path.realpath, read):
            advice = f'set {kind}_evaluator.ann_file to that, or state classes=(...) in the config, and it follows'
            _check_listed(f'{kind}_evaluator compares with {name}, and {kind}_dataloader reads', name, read, advice)
        elif len(read) > 1:
            advice = (
                f'join the files as one and name it as {kind}_evaluator.ann_file, or give each dataset a metric with '
                'MultiDatasetsEvaluator'
            )
            _check_listed(f'{kind}_evaluator is one metric, and {kind}_dataloader reads', name, read, advice)


def _check_listed(problem: str, name: str | None, files: list[Path], advice: str) -> None:
    known: dict[Any, str] = _images(Path(name)) or {} if name else {}
    for file in files:
        images = _images(file)
        if images is None and name is None:
            continue
        if images is None:
            break
        other = next((i for i in images if (name or i in known) and known.get(i) != images[i]), None)
        if other is not None:
            break
        known |= images
    else:
        return
    raise UserError(f'{problem} {", ".join(map(str, files))}: {advice}')


def _images(file: Path) -> dict[Any, str] | None:
    """File name by id of the images in a file of COCO's format; None for another file."""
    try:
        return {image['id']: str(image['file_name']) for image in json.loads(file.read_text())['images']}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_classes(cfg: Config, model: Any, dataset: Any, kind: str) -> None:
    """Check that the model, its losses and the metrics have as many classes as each dataset.

    Args:
        cfg: The config.
        model: Built, or wrapped for distributed training.
        dataset: Built; a wrapper's datasets are checked one by one.
        kind: 'train', 'val' or 'test', for the message.

    Raises:
        UserError: If folders of images are numbered otherwise than the classes, a head's ``num_classes`` or a loss's
            ``class_weight`` is of another number, or a ``topk`` is above it.
    """
    for part in unwrapped(dataset):
        _check_classes(cfg, model, part, kind)


def _check_classes(cfg: Config, model: Any, dataset: Any, kind: str) -> None:
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
    _check_class_weights(model)
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


def _check_class_weights(model: Any) -> None:
    for name, head in model.named_modules():
        number = getattr(head, 'num_classes', None)
        for loss_name, loss in head.named_children() if isinstance(number, int) else ():
            weights = getattr(loss, 'class_weight', None)
            # mmdet's softmax over classes has the background as well.
            background = loss_name == 'loss_cls' and not getattr(loss, 'use_sigmoid', True)
            expected = number + background if isinstance(number, int) else 0
            if isinstance(weights, Sequence) and len(weights) != expected:
                of = f'{number} classes' + ' and the background, which comes last' * background
                raise UserError(
                    f"class_weight of the model's {name.removeprefix('module.')}.{loss_name} has {len(weights)} numbers, "
                    f'{list(weights)}: give it {expected}, of {of}'
                )
