"""From a config file and the command line to one mmengine Config."""

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import mmengine.config.utils
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from eca_mm.engine.runner import RUNNER_KEYS
from eca_mm.errors import MissingFileError, UserError

# The environment variables that the configs read, and where their data is found without them.
DATA_ROOTS = ('COCO_ROOT', 'IMAGENET_ROOT', 'SHAPES_ROOT')

# What --cfg-options may set though the config does not: what mmengine's Runner takes or looks up, and what this engine reads.
KNOWN_KEYS = RUNNER_KEYS | {
    'activation_checkpointing', 'compile', 'efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn',
    'backbone_weights', 'images_per_step', 'pictures',
}  # fmt: skip

# What is a dictionary in every config, where it is there at all: libraries look into these before they check them.
DICTIONARIES = (
    *(f'{mode}_{part}' for mode in ('train', 'val', 'test') for part in ('dataloader', 'dataloader.dataset', 'cfg')),
    *('default_hooks', 'env_cfg', 'log_processor', 'model', 'model.test_cfg', 'model.train_cfg', 'optim_wrapper'),
    *('optim_wrapper.optimizer', 'randomness', 'train_dataloader.sampler', 'visualizer'),
)

# Variables of config files that the dataloaders copied while the file was read, and where their values are now.
COPIED = {
    'data_root': '--data-root, or the data_root of each dataset and the ann_file of each evaluator',
    'dataset_type': 'train_dataloader.dataset.type',
    'train_pipeline': 'train_dataloader.dataset.pipeline',
    'val_pipeline': 'val_dataloader.dataset.pipeline',
    'test_pipeline': 'test_dataloader.dataset.pipeline',
}

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
        data_root: Root of the dataset, as if the config's environment variable (COCO_ROOT, ...) named it.
        work_dir: Output folder; by default the config's own, or ``work_dirs/<name of the config>``.
        cfg_options: Values by dotted key, e.g. ``{'optim_wrapper.optimizer.lr': 0.02}``. ``backbone_weights`` goes to
            the backbone's ``init_cfg``; None trains it from scratch.

    Raises:
        MissingFileError: If there is no such config.
        UserError: If the file is not a config or has no model, if an option's first name is neither in it nor in
            mmengine's Runner, or would change nothing any more, if the file ignores ``data_root``, or if one of its
            ``custom_imports`` is not found.
    """
    path = Path(path)
    if not path.is_file():
        near = difflib.get_close_matches(path.stem, [p.stem for p in path.parent.glob('*.py')], n=3)
        hint = f'; there is {", ".join(str(path.with_name(n + ".py")) for n in near)}' if near else ''
        raise MissingFileError(f'config not found: {path}{hint}')
    with _data_roots(data_root), _cached_metafiles():
        try:
            cfg = Config.fromfile(path, import_custom_modules=False)
        except Exception as error:  # a config is a program: anything can go wrong in it
            raise UserError(f'{path} cannot be read as a config: {type(error).__name__}: {error}') from error
    _import_custom_modules(cfg)
    if data_root and not cfg.env_variables.keys() & set(DATA_ROOTS):
        raise UserError(
            f'--data-root: {path} reads none of {", ".join(DATA_ROOTS)}; set the data_root of each dataset and the ann_file '
            'of each evaluator by --cfg-options'
        )

    for key in cfg_options or {}:
        _check_option(key, cfg)
    try:
        cfg.merge_from_dict(cfg_options or {})
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f'--cfg-options do not fit the config: {error}') from error
    if cfg.get('model') is None:
        raise UserError(f'{path} has no model: give it model=dict(type=...)')
    _check_types(cfg)

    if 'backbone_weights' in (cfg_options or {}):  # the value has long been copied to where it is used
        weights = cfg.backbone_weights
        if not isinstance(cfg.model.get('backbone'), dict):
            raise UserError(f'--cfg-options backbone_weights={weights}: the model of {path} has no backbone')
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=weights) if weights else None
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{path.stem}'
    return cfg


def _check_option(key: str, cfg: Config) -> None:
    top = key.split('.')[0]
    if top in COPIED:
        raise UserError(f'--cfg-options {key}: the dataloaders would not see it; set {COPIED[top]} instead')
    known = {*cfg, *KNOWN_KEYS}
    if top not in known:
        near = difflib.get_close_matches(top, sorted(known), n=1)
        hint = f'; did you mean {near[0]!r}?' if near else f'; it has {", ".join(sorted(cfg))}'
        raise UserError(f'--cfg-options {key}: the config has no {top!r}{hint}')


def _import_custom_modules(cfg: Config) -> None:
    try:
        import_modules_from_strings(**cfg.get('custom_imports') or dict(imports=[]))
    except ImportError as error:
        reason = error.__context__ or error  # mmengine's own names the module only
        raise UserError(
            f'custom_imports of {cfg.filename}: {error} ({reason}); PYTHONPATH names further folders to look in'
        ) from error


def _check_types(cfg: Config) -> None:
    for key in DICTIONARIES:
        value: Any = cfg
        for part in key.split('.'):
            value = value.get(part) if isinstance(value, dict | Config) else None
        if value is not None and not isinstance(value, dict):
            raise UserError(f'{key} must be a dictionary, got {value!r}')


@contextmanager
def _data_roots(data_root: str | None) -> Iterator[None]:
    """Sets the environment's variables as the configs are to read them.

    mmengine pastes a value into the config's text, as the replacement of a regular expression: a backslash or a quote
    must survive both that and Python. An empty variable is as good as none, and `~` is the user's home.
    """
    before = {name: os.environ.get(name) for name in DATA_ROOTS}
    try:
        for name, value in before.items():
            os.environ.pop(name, None)
            if root := data_root or value:
                text = os.path.expanduser(root).replace('\\', r'\\\\')
                os.environ[name] = text.replace("'", r"\\'").replace('"', r'\\"')
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _cached_metafiles() -> Iterator[None]:
    """mmengine parses all of mmdet's metafiles anew for each `mmdet::` base: most of the time that a config takes."""
    load = mmengine.config.utils.load
    mmengine.config.utils.load = _load_metafile
    try:
        yield
    finally:
        mmengine.config.utils.load = load
