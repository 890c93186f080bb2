"""A checkpoint for others: the weights and what must be known of them, named and described as OpenMMLab does it."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from mmengine.config import Config

from eca_mm.checkpoints import read_checkpoint, weights_of
from eca_mm.engine.metrics import BENCHMARKS
from eca_mm.engine.model import load_model
from eca_mm.errors import ExistingFileError, UserError
from eca_mm.output import check_output, write_atomically
from eca_mm.paths import config_name
from eca_mm.version import __version__

_DATASETS = {'CocoDataset': 'COCO', 'ImageNet': 'ImageNet-1k', 'ShapesDataset': 'shapes'}
_KEPT = (
    *('epoch', 'iter', 'time', 'seed', 'dataset_meta', 'mmengine_version', 'mmdet_version', 'mmpretrain_version'),
    *('tool', 'source', 'source_sha256', 'kernel_sizes'),  # of converted weights
)


@dataclass(frozen=True)
class Release:
    """The files, and the entry that is in the second one."""

    weights: Path
    entry_file: Path
    entry: str
    remark: str

    def __str__(self) -> str:
        size = self.weights.stat().st_size / 2**20
        lines = [f'written: {self.weights} ({size:.1f} MiB)', f'written: {self.entry_file}', self.remark, self.entry]
        return '\n'.join(line.rstrip() for line in lines if line)


def release(cfg: Config, checkpoint: str, folder: str | Path, *, force: bool = False) -> Release:
    """Writes ``<config>_<date>-<first 8 digits of the file's sha256>.pth`` and, beside it, its metafile entry.

    Of a training checkpoint the state dict stays and, as plain Python, epoch, iteration, classes and versions; of a
    converted one where it comes from. Optimiser, schedules, logs and the config's text, which names paths of this
    machine, go. The entry's results are those in ``metrics.json`` beside the checkpoint, if they are this checkpoint's.

    Args:
        cfg: The config of its training, from :func:`eca_mm.engine.load_config`, without ``cfg_options``: the entry names
            its file.
        checkpoint: The file.
        folder: For the new files; it is made.
        force: Write over files that exist.

    Raises:
        FileExistsError: If the files exist, without ``force``, or the folder is a file.
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If the checkpoint cannot be read or does not fit the config, its ``meta`` is no dictionary, the
            ``metrics.json`` is malformed, or a file cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ExistingFileError(f'{folder} is a file; a release goes into a folder')
    source = read_checkpoint(checkpoint)
    model = load_model(cfg, source, checkpoint)
    meta = source.get('meta') or {}
    if not isinstance(meta, Mapping):
        raise UserError(
            f'{checkpoint} has a {type(meta).__name__} for meta, where mmengine writes a dictionary: release a file of '
            'its state_dict alone'
        )
    content = _serialise(cfg, source, meta)
    sha = hashlib.sha256(content).hexdigest()
    weights = folder / f'{Path(cfg.filename).stem}_{datetime.now():%Y%m%d}-{sha[:8]}.pth'
    results, remark = _results(cfg, Path(checkpoint).expanduser())
    parameters = sum(p.numel() for p in model.parameters())
    entry = yaml.safe_dump(
        {'Models': [_entry(cfg, meta, weights.name, parameters, results)]}, sort_keys=False, width=120
    )
    files = {weights: content, weights.with_suffix('.yml'): entry.encode()}
    for file in files:
        check_output(file, force=force)
    for file, data in files.items():
        write_atomically(file, data)
    return Release(weights, weights.with_suffix('.yml'), entry, remark)


def _serialise(cfg: Config, source: Mapping[str, Any], meta: Mapping[str, Any]) -> bytes:
    backbone = {k: plain(v) for k, v in (cfg.model.get('backbone') or {}).items() if k != 'init_cfg'}
    kept = {
        'network': f'backbone={backbone}',  # style, strides and dilations are in no tensor
        **{key: plain(meta[key]) for key in _KEPT if key in meta},
        'config': config_name(cfg.filename),
        'eca_mm_version': __version__,
        'torch_version': str(torch.__version__),
    }
    # Copies: a view would bring all of the storage that it looks at.
    state_dict = {key: value.detach().clone() for key, value in weights_of(source).items()}
    file = io.BytesIO()
    torch.save({'meta': kept, 'state_dict': state_dict}, file)
    return file.getvalue()


def plain(value: Any) -> Any:
    """The same in dictionaries, lists, tuples, text and numbers, for ``torch.load(weights_only=True)`` and for YAML.

    >>> import numpy as np
    >>> plain({'classes': ('cat', 'dog'), 'scale': np.float32(0.5), 'path': np.arange(2)})
    {'classes': ('cat', 'dog'), 'scale': 0.5, 'path': [0, 1]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    if hasattr(value, 'tolist'):  # numpy and torch
        return value.tolist()
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def _entry(
    cfg: Config, meta: Mapping[str, Any], weights: str, parameters: int, results: list[dict[str, Any]]
) -> dict[str, Any]:
    facts = {
        'Training Data': _dataset(cfg, 'train_dataloader'),
        'Epochs': plain(meta.get('epoch')),
        'Batch Size': cfg.get('images_per_step'),
        'Parameters': parameters,
    }
    return {
        'Name': Path(cfg.filename).stem,
        'In Collection': 'ECA-Net',
        'Config': config_name(cfg.filename),
        'Metadata': {key: value for key, value in facts.items() if value is not None},
        **({'Results': results} if results else {}),
        'Weights': weights,
    }


def _dataset(cfg: Config, loader: str) -> str | None:
    kind = (cfg.get(loader) or {}).get('dataset', {}).get('type')
    return None if kind is None else _DATASETS.get(str(kind).split('.')[-1], str(kind))


def _results(cfg: Config, checkpoint: Path) -> tuple[list[dict[str, Any]], str]:
    """OpenMMLab's results, and why there are none."""
    file = checkpoint.with_name('metrics.json')
    if not file.is_file():
        return [], f'no results: there is no {file}, which tools/test.py writes'
    try:
        measured = json.loads(file.read_text())
        metrics = {name: float(value) for name, value in measured['metrics'].items()}
        images, of = int(measured['images']), Path(str(measured['checkpoint'])).name
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f'{file} is not what tools/test.py writes ({type(error).__name__}: {error})') from error
    if of != checkpoint.name:
        return [], f'no results: {file} has those of {of}'
    if file.stat().st_mtime_ns < checkpoint.stat().st_mtime_ns:
        return [], f'no results: {file} is older than the checkpoint'
    dataset = _dataset(cfg, 'test_dataloader')
    results = []
    for benchmark in BENCHMARKS.values():
        found = {
            m.index: round(metrics[m.name] * benchmark.percent, 2)
            for m in benchmark.metrics
            if m.index and metrics.get(m.name, -1) >= 0  # COCO's -1: there is nothing to detect
        }
        if found:
            part = dataset == benchmark.dataset and images != benchmark.images
            named = f'{images} images of {dataset}' if part else dataset
            results.append({'Task': benchmark.task, 'Dataset': named, 'Metrics': found})
    return results, '' if results else f'no results: {file} has none of the metrics of the model index'
