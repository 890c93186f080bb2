"""Accuracies for the paper's rows: from the metrics of work directories, checkpoints, or files of predictions."""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from eca_mm.analysis.coco import score
from eca_mm.checkpoints import latest_checkpoint
from eca_mm.paper.cells import CONFIGS, Measurement, max_epochs
from eca_mm.paper.tables import TABLES, Table

Place = tuple[str, str, str]  # table, row, column
Evaluate = Callable[[Path, Path, Path], object]  # config, checkpoint and work directory -> metrics.json in the latter

_COCO = {'AP': 'mAP', 'AP50': 'mAP_50', 'AP75': 'mAP_75', 'APS': 'mAP_s', 'APM': 'mAP_m', 'APL': 'mAP_l'}
AUTHORS = "the authors' weights, tested with configs/legacy"
TABLE_OF = {'bbox': 'table4', 'segm': 'table5'}  # by kind of prediction
# The sets that the paper reports on, known by their size: for COCO and for ImageNet.
WHOLE = {'coco': ('COCO val2017', 5000), 'accuracy': ('ImageNet val', 50_000)}


def work_dir_measurements(
    tables: Sequence[Table], work_dirs: Path, evaluate: Evaluate | None = None
) -> tuple[dict[Place, Measurement], list[str]]:
    """Metrics in ``work_dirs/<name of the row's config>/metrics.json``, as `tools/test.py` writes them.

    Where there are none, those of the authors' detector count, tested with ``configs/legacy/``.

    Args:
        tables: Their rows are looked for.
        work_dirs: The folder with one work directory per row.
        evaluate: If given, called for a row with a checkpoint, the newest ``epoch_*.pth``, and without metrics, or with
            older ones.

    Returns:
        The measurements, and a sentence for each row whose checkpoint or metrics cannot be read.

    Raises:
        FileNotFoundError: If ``work_dirs`` is not a folder.
    """
    if not work_dirs.is_dir():
        raise FileNotFoundError(f'no folder of work directories: {work_dirs}')
    found: dict[Place, Measurement] = {}
    problems = []
    for config in dict.fromkeys(row.config for table in tables for row in table.rows):
        legacy = f'legacy/{config.removesuffix("_1x")}'
        for tested in (config, *([legacy] if (CONFIGS / f'{legacy}.py').is_file() else ())):
            folder = work_dirs / Path(tested).name
            try:
                when = _metrics(tested, folder, evaluate)
                if when is not None:
                    found |= _read(tables, config, tested, folder / 'metrics.json', when)
                    break
            except (ValueError, OSError) as error:
                problems.append(f'{tested}: {error}')
                break
    return found, problems


def _metrics(config: str, folder: Path, evaluate: Evaluate | None) -> str | None:
    """Sees to it that there are metrics; returns when they were measured, None if there are none."""
    file, checkpoint = folder / 'metrics.json', latest_checkpoint(folder)
    newer = checkpoint is not None and file.is_file() and checkpoint.stat().st_mtime > file.stat().st_mtime
    if file.is_file() and not (evaluate is not None and newer):
        return 'measured before'
    if evaluate is None or not any(folder.glob('epoch_*.pth')):
        return None
    if checkpoint is None:
        raise ValueError(f'no checkpoint in {folder} is complete')
    evaluate(CONFIGS / f'{config}.py', checkpoint, folder)
    return 'measured now'


def _read(tables: Iterable[Table], config: str, tested: str, file: Path, when: str) -> dict[Place, Measurement]:
    try:
        result = json.loads(file.read_text())
        metrics, images = {name: float(value) for name, value in result['metrics'].items()}, int(result['images'])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{file} is not what tools/test.py writes ({type(error).__name__}: {error})') from error
    if Path(str(result.get('config', tested))).stem != Path(tested).name:
        raise ValueError(f'{file} is of {result["config"]}, not of {tested}')
    checkpoint = Path(str(result['checkpoint'])).name if 'checkpoint' in result else 'unknown weights'
    notes = [AUTHORS] if tested != config else []
    epoch, last = re.fullmatch(r'epoch_(\d+)\.pth', checkpoint), max_epochs(tested)
    if epoch and last is not None and int(epoch[1]) < last:
        notes.append(f'after {epoch[1]} of {last} epochs')
    source = f'{when} ({file}, {checkpoint})'
    found = {}
    for table in tables:
        for column in next((row.printed for row in table.rows if row.config == config), {}):
            name, scale = _metric(table.name, column)
            if metrics.get(name, -1) >= 0:  # COCO has -1 where there is nothing to detect
                found[table.name, config, column] = _measurement(
                    metrics[name] * scale, name, images, source, column, notes
                )
    return found


def _metric(table: str, column: str) -> tuple[str, float]:
    """mmengine's name for a column, and what makes a per cent of it."""
    kind = {table: kind for kind, table in TABLE_OF.items()}.get(table)
    if kind is not None:
        return f'coco/{kind}_{_COCO.get(column)}', 100
    return f'accuracy/{column.lower().replace("-", "")}', 1


def _measurement(
    value: float, name: str, images: int, source: str, column: str, notes: Iterable[str] = ()
) -> Measurement:
    """Comparable if it is on the paper's dataset and after the whole training."""
    dataset, size = WHOLE[name.split('/')[0]]
    text = f'{value:.1f}' if column.startswith('AP') else f'{value:.2f}'
    remarks = [*notes, *([] if images == size else [f'on {images} images, not on the {size} of {dataset}'])]
    return Measurement(value, text, source, '; '.join(remarks), comparable=set(remarks) <= {AUTHORS})


def prediction_measurements(
    predictions: Iterable[str], ann_file: str | Path, backend: str = 'pycocotools'
) -> tuple[dict[Place, Measurement], list[str]]:
    """Scores COCO result files for rows of Tables 4 (boxes) and 5 (masks); what a file holds decides the table.

    Args:
        predictions: ``row=file``, e.g. ``mask_rcnn_eca_r50_fpn_1x=out.segm.json``.
        ann_file: COCO annotations; all their images count.
        backend: See :func:`eca_mm.analysis.coco.score`.

    Returns:
        The measurements, and a sentence for each file that cannot be scored.
    """
    found: dict[Place, Measurement] = {}
    problems = []
    for text in predictions:
        try:
            row, file = _assignment(text)
            kind, numbers = score(file, ann_file, backend)
            table = TABLES[TABLE_OF[kind]]
            if row not in (r.config for r in table.rows):
                raise ValueError(f'{file} holds masks, and {row} is not a row of {table.name}')
            images = len(json.loads(Path(ann_file).read_bytes())['images'])
            for column in (c for c in _COCO if numbers[c] >= 0):
                found[table.name, row, column] = _measurement(
                    100 * numbers[column], 'coco/', images, f'measured now ({file})', column
                )
        except (ValueError, OSError) as error:
            problems.append(f'--predictions {text}: {error}')
    return found, problems


def _assignment(text: str) -> tuple[str, str]:
    row, equals, file = text.partition('=')
    if not equals:
        raise ValueError('needs ROW=FILE')
    rows = [r.config for r in TABLES['table4'].rows]
    if row not in rows:
        near: Any = difflib.get_close_matches(row, rows, n=1)
        raise ValueError(f'no row {row!r} in Table 4' + (f'; did you mean {near[0]!r}?' if near else f': {rows}'))
    return row, file
