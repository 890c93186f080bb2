"""From a config file and the command line to one mmengine Config."""

import difflib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import mmengine.config.utils
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from eca_mm.engine.classes import apply_classes, evaluators
from eca_mm.engine.files import leaves
from eca_mm.engine.runner import RUNNER_KEYS
from eca_mm.errors import MissingFileError, UserError

# The environment variables that the configs read, and where their data is found without them.
DATA_ROOTS = ('COCO_ROOT', 'IMAGENET_ROOT', 'SHAPES_ROOT')

# What --cfg-options may set though the config does not: what mmengine's Runner takes or looks up, and what this engine reads.
KNOWN_KEYS = RUNNER_KEYS | {
    'activation_checkpointing', 'compile', 'efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn',
    'backbone_weights', 'classes', 'images_per_step', 'max_invalid_losses', 'pictures',
}  # fmt: skip

# Variables of config files that the dataloaders copied while the file was read, and where their values are now.
COPIED = {
    'data_root': '--data-root, or the data_root of each dataset and the ann_file of each evaluator',
    'dataset_type': 'train_dataloader.dataset.type',
    'train_pipeline': 'train_dataloader.dataset.pipeline',
    'val_pipeline': 'val_dataloader.dataset.pipeline',
    'test_pipeline': 'test_dataloader.dataset.pipeline',
}

COUNTED = ('max_epochs', 'max_iters', 'val_interval')  # of a training loop

_load_metafile = cache(mmengine.config.utils.load)


def load_config(
    path: str | Path,
    *,
    data_root: str | None = None,
    work_dir: str | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> Config:
    """Reads a config and applies the command line's changes.

    Args:
        path: A config file.
        data_root: Root of the dataset, as if the config's environment variable (COCO_ROOT, ...) named it, or in the place of
            the one that its datasets have.
        work_dir: Output folder; by default the config's own, or ``work_dirs/<name of the config>``.
        cfg_options: Values by dotted key, e.g. ``{'optim_wrapper.optimizer.lr': 0.02}``. ``backbone_weights`` goes to
            the backbone's ``init_cfg``; None trains it from scratch.

    Raises:
        MissingFileError: If there is no such config.
        UserError: If the file is not a config or has no model, if an option's first name is neither in it nor in
            mmengine's Runner, or would change nothing any more or does not fit its place, if the file's datasets have
            several roots, or none, for ``data_root`` to replace, if its ``classes`` are no list of names or not those of its
            datasets, or if one of its ``custom_imports`` is not found.
    """
    path = Path(path)
    if not path.is_file():
        near = difflib.get_close_matches(path.stem, [p.stem for p in path.parent.glob('*.py')], n=3)
        hint = f'; there is {", ".join(str(path.with_name(n + ".py")) for n in near)}' if near else ''
        raise MissingFileError(f'config not found: {path}{hint}')
    with _reading(data_root):
        try:
            cfg = Config.fromfile(path, import_custom_modules=False)
        except Exception as error:  # a config is a program: anything can go wrong in it
            raise UserError(f'{path} cannot be read as a config: {type(error).__name__}: {error}') from error
    try:
        import_modules_from_strings(**cfg.get('custom_imports') or dict(imports=[]))
    except ImportError as error:
        reason = error.__context__ or error  # mmengine's own names the module only
        raise UserError(
            f'custom_imports of {path}: {error} ({reason}); PYTHONPATH names further folders to look in'
        ) from error
    if data_root:
        _move_data(cfg, os.path.expanduser(data_root))

    options = cfg_options or {}
    for key, value in options.items():
        _check_option(key, value, cfg)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f'--cfg-options do not fit the config: {error}') from error
    if cfg.get('model') is None:
        raise UserError(f'{path} has no model: give it model=dict(type=...)')
    _check_values(cfg)
    apply_classes(cfg)
    if 'backbone_weights' in options:  # the value has long been copied to where it is used
        weights = cfg.backbone_weights
        if not isinstance(cfg.model.get('backbone'), dict):
            raise UserError(f'--cfg-options backbone_weights={weights}: the model of {path} has no backbone')
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=weights) if weights else None
    cfg.work_dir = os.path.expanduser(work_dir or cfg.get('work_dir') or f'work_dirs/{path.stem}')
    return cfg


def _move_data(cfg: Config, root: str) -> None:
    """Puts ``root`` in the place of the data root that datasets and evaluators have, where they did not read it before."""
    datasets = [
        d for kind in ('train', 'val', 'test') for d in leaves(cfg.get(f'{kind}_dataloader')) if d.get('data_root')
    ]
    olds = {os.path.normpath(d['data_root']) for d in datasets} - {os.path.normpath(root)}
    if not datasets or len(olds) > 1:
        found = f'several roots ({", ".join(sorted(olds))})' if datasets else 'no data_root'
        raise UserError(
            f'--data-root: the datasets of {cfg.filename} have {found}; set the data_root of each dataset and the ann_file of '
            'each evaluator by --cfg-options'
        )
    for old in olds:
        for dataset in datasets:
            dataset.data_root = root
        for evaluator in (e for kind in ('val', 'test') for e in evaluators(cfg, kind) if e.get('ann_file')):
            file = os.path.normpath(evaluator.ann_file)
            if file.startswith(old + os.sep):
                evaluator.ann_file = os.path.join(root, os.path.relpath(file, old))


def _check_option(key: str, value: Any, cfg: Config) -> None:
    top = key.split('.')[0]
    if top in COPIED:
        raise UserError(f'--cfg-options {key}: the dataloaders would not see it; set {COPIED[top]} instead')
    known = {*cfg, *KNOWN_KEYS}
    if top not in known:
        near = difflib.get_close_matches(top, sorted(known), n=1)
        hint = f'; did you mean {near[0]!r}?' if near else f'; it has {", ".join(sorted(cfg))}'
        raise UserError(f'--cfg-options {key}: the config has no {top!r}{hint}')
    old: Any = cfg
    for part in key.split('.'):
        if isinstance(old, list):
            old = old[int(part)] if part.isdigit() and int(part) < len(old) else None
        else:
            old = old.get(part) if isinstance(old, dict | Config) else None
    if isinstance(old, dict) and isinstance(value, str | int | float) and not isinstance(value, bool):
        raise UserError(f'--cfg-options {key}: it must be a dictionary, got {value!r}')
    if isinstance(old, int | float) and isinstance(value, str):
        raise UserError(f'--cfg-options {key}: it must be a number such as {old!r}, got {value!r}')


def _check_values(cfg: Config) -> None:
    """What mmengine and this engine look into, or compare, without a check."""
    for key in COUNTED:
        value = (cfg.get('train_cfg') or {}).get(key, 1)
        if not isinstance(value, int | float) or value < 1:
            raise UserError(f'train_cfg.{key} must be a positive number, got {value!r}')
    randomness = cfg.get('randomness') or {}
    if not isinstance(randomness, dict) or not isinstance(randomness.get('seed'), int | None):
        raise UserError(f'randomness must be a dictionary with a whole number as its seed, got {randomness!r}')
    level = cfg.get('log_level', 'INFO')
    if not isinstance(level, int) and not isinstance(logging.getLevelName(level), int):
        raise UserError(f'log_level must be a level such as INFO, got {level!r}')


@contextmanager
def _reading(data_root: str | None) -> Iterator[None]:
    """Sets the environment's variables as the configs are to read them, and has mmengine read a metafile once.

    mmengine pastes a value into the config's text, as the replacement of a regular expression: a backslash or a quote
    must survive both that and Python. An empty variable is as good as none, and `~` is the user's home. It parses all of
    mmdet's metafiles anew for each `mmdet::` base, which is most of the time that a config takes.
    """
    environment, load = dict(os.environ), mmengine.config.utils.load
    try:
        mmengine.config.utils.load = _load_metafile
        for name in DATA_ROOTS:
            if root := os.path.expanduser(data_root or os.environ.pop(name, '')):
                os.environ[name] = root.replace('\\', r'\\\\').replace("'", r"\\'").replace('"', r'\\"')
        yield
    finally:
        mmengine.config.utils.load = load
        os.environ.clear()
        os.environ.update(environment)
