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

# mmengine parses all of mmdet's metafiles anew for each `mmdet::` base: most of the time that a config takes.
mmengine.config.utils.load = cache(mmengine.config.utils.load)

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
        cfg_options: Values by dotted key, e.g. ``{'optim_wrapper.optimizer.lr': 0.02}``. ``backbone_weights`` goes to
            the backbone's ``init_cfg``; None trains it from scratch.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If the file is not a config, an option's first name is not in it, or it ignores ``data_root``.
    """
    path = Path(path)
    if not path.is_file():
        near = difflib.get_close_matches(path.stem, [p.stem for p in path.parent.glob('*.py')], n=3)
        hint = f'; there is {", ".join(str(path.with_name(n + ".py")) for n in near)}' if near else ''
        raise FileNotFoundError(f'config not found: {path}{hint}')
    with _environment(dict.fromkeys(DATA_ROOTS, data_root) if data_root else {}):
        try:
            cfg = Config.fromfile(path)
        except Exception as error:  # a config is a program: anything can go wrong in it
            raise ValueError(f'{path} cannot be read as a config: {type(error).__name__}: {error}') from error
    if data_root and data_root not in cfg.pretty_text:
        raise ValueError(f'--data-root: {path} reads none of {", ".join(DATA_ROOTS)}; set data_root by --cfg-options')

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

    if 'backbone_weights' in (cfg_options or {}):  # the value has long been copied to where it is used
        weights = cfg.backbone_weights
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=weights) if weights else None
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{path.stem}'
    return cfg


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
