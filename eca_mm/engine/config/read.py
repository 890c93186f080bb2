"""Read a config file and apply the command line's changes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import mmengine.config.utils
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from eca_mm.configs import find_config
from eca_mm.engine.config.classes import apply_classes
from eca_mm.engine.config.options import apply_options, check_values, move_data
from eca_mm.engine.config.parts import scope_of
from eca_mm.errors import UserError

# The environment variables that the configs read, and where their data is found without them.
DATA_ROOTS = ('COCO_ROOT', 'IMAGENET_ROOT', 'SHAPES_ROOT')

_load_metafile = cache(mmengine.config.utils.load)


def load_config(
    path: str | Path,
    *,
    data_root: str | None = None,
    work_dir: str | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> Config:
    """Read a config file, in either of mmengine's styles, and apply the command line's changes.

    Args:
        path: A config file, or the name of a config of the package, see :func:`eca_mm.configs.find_config`.
        data_root: Root of the dataset. It is the value of the config's environment variable (COCO_ROOT, ...), or replaces the
            ``data_root`` of its datasets.
        work_dir: Output folder; by default the config's own, or ``work_dirs/<name of the config>``.
        cfg_options: Values by dotted key, e.g. ``{'optim_wrapper.optimizer.lr': 0.02}``. ``backbone_weights`` goes to
            the backbone's ``init_cfg``; None trains it from scratch.

    Returns:
        The config. Its ``default_scope`` is the library of its model where the file states none.

    Raises:
        MissingFileError: If there is no such config.
        UserError: If the file is not a config or has no model; if an option is unknown, has no effect any more or does not fit
            its place; if ``data_root`` has several roots, or none, to replace; if ``classes`` is not a list of names or differs
            from the datasets' own; if a value is wrong, or one of ``custom_imports`` is not found.
    """
    path = find_config(path)
    with _reading(data_root):
        try:
            cfg = Config.fromfile(path, import_custom_modules=False)
        except (Exception, SystemExit) as error:  # a config is a program: anything can go wrong in it
            raise UserError(f'{path} cannot be read as a config: {type(error).__name__}: {error}') from error
    try:
        import_modules_from_strings(**cfg.get('custom_imports') or dict(imports=[]))
    except ImportError as error:
        reason = error.__context__ or error  # mmengine's own names the module only
        raise UserError(
            f'custom_imports of {path}: {error} ({reason}); PYTHONPATH names further folders to look in'
        ) from error
    if data_root:
        move_data(cfg, os.path.expanduser(data_root))
    options = cfg_options or {}
    apply_options(cfg, options)
    if cfg.get('model') is None:
        raise UserError(f'{path} has no model: give it model=dict(type=...)')
    check_values(cfg)
    cfg.default_scope = scope_of(cfg)
    apply_classes(cfg)
    if 'backbone_weights' in options:  # the value has long been copied to where it is used
        weights = cfg.backbone_weights
        if not isinstance(cfg.model.get('backbone'), dict):
            raise UserError(f'`cfg_options` backbone_weights={weights}: the model of {path} has no backbone')
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=weights) if weights else None
    cfg.work_dir = os.path.expanduser(work_dir or cfg.get('work_dir') or f'work_dirs/{path.stem}')
    return cfg


@contextmanager
def _reading(data_root: str | None) -> Iterator[None]:
    """Set the environment variables that the configs read, and have mmengine read each metafile once.

    mmengine pastes a value into the config's text, as the replacement of a regular expression: a backslash or a quote
    must survive both that and Python. An empty variable counts as unset, and `~` is the user's home. mmengine parses all of
    mmdet's metafiles again for each `mmdet::` base, which is most of the time of reading a config.
    """
    before, load = {name: os.environ.get(name) for name in DATA_ROOTS}, mmengine.config.utils.load
    try:
        mmengine.config.utils.load = _load_metafile
        for name, value in before.items():
            root = os.path.expanduser(data_root or value or '')
            _set_variable(name, root.replace('\\', r'\\\\').replace("'", r"\\'").replace('"', r'\\"') or None)
        yield
    finally:
        mmengine.config.utils.load = load
        for name, value in before.items():
            _set_variable(name, value)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
