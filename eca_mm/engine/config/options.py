"""The command line's changes of a config: options by dotted key, and another data root."""

import difflib
import inspect
import logging
import os
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from eca_mm.engine.config.parts import datasets, evaluators
from eca_mm.errors import UserError

# What mmengine's Runner takes out of a config.
RUNNER_KEYS = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}

# Keys that ``cfg_options`` may add to a config: those of mmengine's Runner, and those of this engine.
KNOWN_KEYS = RUNNER_KEYS | {
    'activation_checkpointing', 'compile', 'efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn',
    'backbone_weights', 'classes', 'images_per_step', 'max_invalid_losses', 'pictures',
}  # fmt: skip

# Variables that the data loaders copied while the file was read, and where their values are now.
COPIED = {
    'data_root': '`data_root`, or the data_root of each dataset and the ann_file of each evaluator',
    'dataset_type': 'train_dataloader.dataset.type',
    'train_pipeline': 'train_dataloader.dataset.pipeline',
    'val_pipeline': 'val_dataloader.dataset.pipeline',
    'test_pipeline': 'test_dataloader.dataset.pipeline',
}

COUNTED = ('max_epochs', 'max_iters', 'val_interval')  # of a training loop


def apply_options(cfg: Config, options: dict[str, Any]) -> None:
    """Set values by dotted key.

    Raises:
        UserError: If a key is unknown, would change nothing any more, or the value does not fit its place.
    """
    for key, value in options.items():
        _check_option(key, value, cfg)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f'`cfg_options` do not fit the config: {error}') from error


def move_data(cfg: Config, root: str) -> None:
    """Replace the data root of datasets and evaluators, unless they read ``root`` from the environment.

    Raises:
        UserError: If the datasets have several roots, or none.
    """
    loaders = [cfg.get(f'{kind}_dataloader') for kind in ('train', 'val', 'test')]
    moved = [dataset for loader in loaders for dataset in datasets(loader) if dataset.get('data_root')]
    olds = {os.path.normpath(d['data_root']) for d in moved} - {os.path.normpath(root)}
    if not moved or len(olds) > 1:
        found = f'several roots ({", ".join(sorted(olds))})' if moved else 'no data_root'
        raise UserError(
            f'`data_root`: the datasets of {cfg.filename} have {found}; set the data_root of each dataset and the ann_file of '
            'each evaluator by `cfg_options`'
        )
    for old in olds:
        for dataset in moved:
            dataset.data_root = root
        for evaluator in (e for kind in ('val', 'test') for e in evaluators(cfg, kind) if e.get('ann_file')):
            file = os.path.normpath(evaluator.ann_file)
            if file.startswith(old + os.sep):
                evaluator.ann_file = os.path.join(root, os.path.relpath(file, old))


def _check_option(key: str, value: Any, cfg: Config) -> None:
    top = key.split('.')[0]
    if top in COPIED:
        raise UserError(f'`cfg_options` {key}: the dataloaders would not see it; set {COPIED[top]} instead')
    known = {*cfg, *KNOWN_KEYS}
    if top not in known:
        near = difflib.get_close_matches(top, sorted(known), n=1)
        hint = f'; did you mean {near[0]!r}?' if near else f'; it has {", ".join(sorted(cfg))}'
        raise UserError(f'`cfg_options` {key}: the config has no {top!r}{hint}')
    old: Any = cfg
    for part in key.split('.'):
        if isinstance(old, list):
            old = old[int(part)] if part.isdigit() and int(part) < len(old) else None
        else:
            old = old.get(part) if isinstance(old, dict | Config) else None
    if isinstance(old, dict) and isinstance(value, str | int | float) and not isinstance(value, bool):
        raise UserError(f'`cfg_options` {key}: it must be a dictionary, got {value!r}')
    if isinstance(old, int | float) and isinstance(value, str):
        raise UserError(f'`cfg_options` {key}: it must be a number such as {old!r}, got {value!r}')


def check_values(cfg: Config) -> None:
    """Check the values that mmengine and this engine use without a check of their own.

    Raises:
        UserError: With the key and its value.
    """
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
    work_dir = cfg.get('work_dir')
    if work_dir is not None and not isinstance(work_dir, str):
        raise UserError(f'work_dir must be the name of a folder, got {work_dir!r}')
