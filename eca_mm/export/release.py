"""A checkpoint for others: the weights and what must be known of them, named and described as OpenMMLab does it."""

import hashlib
import io
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from mmengine.config import Config

from eca_mm.analysis.complexity import parameters
from eca_mm.checkpoints import read_checkpoint, weights_of
from eca_mm.engine.config.parts import datasets
from eca_mm.engine.metrics import BENCHMARKS, Metrics
from eca_mm.engine.model import model_of
from eca_mm.engine.model_index import model_entry, task_results
from eca_mm.output import check_output, write_atomically
from eca_mm.paths import config_name
from eca_mm.version import __version__

_DATASETS = {'CocoDataset': 'COCO', 'ImageNet': 'ImageNet-1k', 'ShapesDataset': 'shapes'}
_KEPT = (
    *('epoch', 'iter', 'time', 'seed', 'dataset_meta', 'mmengine_version', 'mmdet_version', 'mmpretrain_version'),
    *('tool', 'source', 'source_sha256', 'kernel_sizes'),  # of converted weights
)


class Release(NamedTuple):
    """What was written."""

    weights: Path
    entry_file: Path
    entry: str  # the text in it, for the model index
    remark: str  # why the entry has no results; empty if it has

    def __str__(self) -> str:
        size = self.weights.stat().st_size / 2**20
        lines = [f'written: {self.weights} ({size:.1f} MiB)', f'written: {self.entry_file}', self.remark, self.entry]
        return '\n'.join(line.rstrip() for line in lines if line)


def release(cfg: Config, checkpoint: str, folder: str | Path, *, force: bool = False) -> Release:
    """Writes ``<config>_<date>-<first 8 digits of the file's sha256>.pth`` and, beside it, its metafile entry.

    Kept are the state dict and, as plain Python, epoch, iteration, classes and versions, and where converted weights come
    from. Dropped are optimiser, schedules, logs and the config's text, which names paths of this machine. The entry's
    results are those in ``metrics.json`` beside the checkpoint, if they are this checkpoint's.

    Args:
        cfg: The config of its training, from :func:`eca_mm.engine.load_config`, without ``cfg_options``: the entry names
            its file.
        checkpoint: The file.
        folder: For the new files; it is made.
        force: Write over files that exist.

    Raises:
        UserError: If the files exist, without ``force``, or the folder cannot be written into; if the checkpoint cannot be
            read or does not fit the config; if the ``metrics.json`` is malformed.
    """
    source = read_checkpoint(checkpoint)
    model = model_of(cfg, source, checkpoint)
    meta = source.get('meta') or {}
    backbone = {key: plain(value) for key, value in (cfg.model.get('backbone') or {}).items() if key != 'init_cfg'}
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
    content = file.getvalue()
    digits = hashlib.sha256(content).hexdigest()[:8]
    weights = Path(folder).expanduser() / f'{Path(cfg.filename).stem}_{datetime.now():%Y%m%d}-{digits}.pth'
    results, remark = results_of(cfg, Path(checkpoint).expanduser())
    model_index = model_entry(
        config_name(cfg.filename),
        training_data=_dataset(cfg, 'train_dataloader'),
        epochs=plain(meta.get('epoch')),
        batch_size=cfg.get('images_per_step'),
        parameters=parameters(model),
        results=results,
        weights=weights.name,
    )
    made = Release(
        weights,
        weights.with_suffix('.yml'),
        yaml.safe_dump({'Models': [model_index]}, sort_keys=False, width=120),
        remark,
    )
    for path in made[:2]:
        check_output(path, force=force)
    write_atomically(made.weights, content)
    write_atomically(made.entry_file, made.entry)
    return made


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


def _dataset(cfg: Config, loader: str) -> str | None:
    kind = next(datasets(cfg.get(loader))).get('type')  # what RepeatDataset and its like hold
    return None if kind is None else _DATASETS.get(str(kind).split('.')[-1], str(kind))


def results_of(cfg: Config, checkpoint: Path) -> tuple[list[dict[str, Any]], str]:
    """The model index's results of a checkpoint, from the ``metrics.json`` beside it, and why there are none.

    Raises:
        UserError: If the ``metrics.json`` is malformed.
    """
    file = checkpoint.with_name('metrics.json')
    if not file.is_file():
        return [], f'no results: there is no {file}, which tools/test.py writes'
    measured = Metrics.read(file)
    of = Path(measured.checkpoint or 'unknown weights').name
    if of != checkpoint.name:
        return [], f'no results: {file} has those of {of}'
    if file.stat().st_mtime_ns < checkpoint.stat().st_mtime_ns:
        return [], f'no results: {file} is older than the checkpoint'
    dataset = _dataset(cfg, 'test_dataloader')
    results = []
    for benchmark in BENCHMARKS.values():
        part = dataset == benchmark.dataset and measured.images != benchmark.images
        values = {
            m.column: round(measured.metrics[m.name] * benchmark.percent, 2)
            for m in benchmark.metrics
            if measured.metrics.get(m.name, -1) >= 0  # COCO's -1: there is nothing to detect
        }
        results += task_results(benchmark, f'{measured.images} images of {dataset}' if part else dataset, values)
    return results, '' if results else f'no results: {file} has none of the metrics of the model index'
