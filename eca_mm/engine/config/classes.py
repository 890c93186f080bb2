"""Apply a config's ``classes``, stated once, to its datasets, heads and metrics."""

from typing import Any

from mmengine.config import Config

from eca_mm.engine.config.parts import annotation_files, datasets, evaluators, is_accuracy, topk_of
from eca_mm.errors import UserError

# Parts whose `num_classes` is not the dataset's: as in mmdet's NumClassCheckHook, and networks below a head.
OTHER_CLASSES = ('rpn_head', 'semantic', 'backbone')


def apply_classes(cfg: Config) -> None:
    """Apply ``classes``, if a config states them, to all parts of it.

    The datasets get them as their ``metainfo``, the model's heads their number, and evaluators the annotation file of their
    data loader and no ``topk`` above the number of classes. Values of a base config are replaced.

    Raises:
        UserError: If ``classes`` is not a list of names, or a dataset has a ``metainfo`` with others.
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
        for dataset in datasets(loader):
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
            elif key == 'topk' and (isinstance(value, list | tuple) or is_accuracy(part)):  # assigners have one too
                part[key] = tuple(k for k in topk_of(part) if k <= number) or (1,)
            elif not any(other in key for other in OTHER_CLASSES):
                _follow(value, number)
