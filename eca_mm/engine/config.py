"""From a config file and the command line to one mmengine Config."""

import difflib
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config

# The environment variables that the configs read, and where their data is found without them.
DATA_ROOTS = ('COCO_ROOT', 'IMAGENET_ROOT', 'SHAPES_ROOT')


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
        cfg_options: Values by dotted key, e.g. ``{'optim_wrapper.optimizer.lr': 0.02}``.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If the file is not a config, or an option's first name is not in it.
    """
    path = Path(path)
    if not path.is_file():
        near = difflib.get_close_matches(path.stem, [p.stem for p in path.parent.glob('*.py')], n=3)
        hint = f'; there is {", ".join(str(path.with_name(n + ".py")) for n in near)}' if near else ''
        raise FileNotFoundError(f'config not found: {path}{hint}')
    if data_root is not None:
        os.environ.update(dict.fromkeys(DATA_ROOTS, str(data_root)))
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is a program: anything can go wrong in it
        raise ValueError(f'{path} cannot be read as a config: {type(error).__name__}: {error}') from error

    for key in cfg_options or {}:
        top = key.split('.')[0]
        if top not in cfg:
            near = difflib.get_close_matches(top, list(cfg), n=1)
            hint = f'; did you mean {near[0]!r}?' if near else f'; it has {", ".join(sorted(cfg))}'
            raise ValueError(f'--cfg-options {key}: the config has no {top!r}{hint}')
    try:
        cfg.merge_from_dict(cfg_options or {})
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f'--cfg-options do not fit the config: {error}') from error

    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{path.stem}'
    return cfg
