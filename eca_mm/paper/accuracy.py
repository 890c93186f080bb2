"""Accuracies for the paper's rows: from the metrics of work directories, checkpoints, or files of predictions."""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from eca_mm.analysis.coco import score
from eca_mm.checkpoints import latest_checkpoint
from eca_mm.engine.metrics import BENCHMARKS, Benchmark
from eca_mm.errors import MissingFileError, UserError
from eca_mm.paper.cells import Measurement, max_epochs
from eca_mm.paper.tables import TABLES, Table
from eca_mm.paths import CONFIGS

Place = tuple[str, str, str]  # table, row, column
Evaluate = Callable[[Path, Path, Path], object]  # config, checkpoint and work directory -> metrics.json in the latter

AUTHORS = "the authors' weights"


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
        The measurements, and a sentence for each row whose checkpoint cannot be evaluated or whose metrics cannot be read.

    Raises:
        FileNotFoundError: If ``work_dirs`` is not a folder.
    """
    if not work_dirs.is_dir():
        raise MissingFileError(f'no folder of work directories: {work_dirs}')
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
            except Exception as error:  # of a library too, in --run: the other rows go on
                problems.append(f'{tested}: {_sentence(error)}')
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
        raise UserError(f'no checkpoint in {folder} is complete')
    evaluate(CONFIGS / f'{config}.py', checkpoint, folder)
    return 'measured now'


def _read(tables: Iterable[Table], config: str, tested: str, file: Path, when: str) -> dict[Place, Measurement]:
    try:
        result = json.loads(file.read_text())
        metrics, images = {name: float(value) for name, value in result['metrics'].items()}, int(result['images'])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f'{file} is not what tools/test.py writes ({type(error).__name__}: {error})') from error
    if Path(str(result.get('config', tested))).stem != Path(tested).name:
        raise UserError(f'{file} is of {result["config"]}, not of {tested}')
    checkpoint = Path(str(result['checkpoint'])).name if 'checkpoint' in result else 'unknown weights'
    notes = _provenance(result, checkpoint, tested)
    source = f'{when} ({Path(*file.parts[-3:])}, {checkpoint})'
    found = {}
    for table in (t for t in tables if config in (row.config for row in t.rows)):
        benchmark = BENCHMARKS[table.benchmark]
        for metric in (m for m in benchmark.metrics if m.column in table.columns):
            value = metrics.get(metric.name, -1) * benchmark.percent
            if value == -benchmark.percent:  # absent, or COCO's -1, where there is nothing to detect
                continue
            if not 0 <= value <= 100:  # NaN too
                raise UserError(f'{file}: {metric.name} is {metrics[metric.name]}, which is no accuracy')
            found[table.name, config, metric.column] = _measurement(benchmark, value, images, source, notes)
    if not {m.name for b in BENCHMARKS.values() for m in b.metrics} & metrics.keys():
        raise UserError(f'{file} has none of the metrics of the tables: nothing was evaluated, or nothing detected')
    return found


def _provenance(result: dict[str, Any], checkpoint: str, config: str) -> list[str]:
    """What must be said of the weights: nothing, if they are those of this config's whole training."""
    if result.get('source') == 'authors' or config.startswith('legacy/'):
        return [AUTHORS]
    if result.get('source'):  # of converted weights
        return [f'weights of {result["source"]}']
    named = re.search(r'epoch_(\d+)\.pth$', checkpoint)
    epoch, last = result.get('epoch', int(named[1]) if named else None), max_epochs(config)
    if not isinstance(epoch, int):
        return ['after an unknown number of epochs']
    return [f'after {epoch} of {last} epochs'] if last is not None and epoch < last else []


def _measurement(
    benchmark: Benchmark, value: float, images: int, source: str, notes: Iterable[str] = ()
) -> Measurement:
    """Comparable if it is on the paper's images and after the whole training."""
    text = f'{value:.{benchmark.digits}f}'
    other = (
        []
        if images == benchmark.images
        else [f'on {images} images, not on the {benchmark.images} of {benchmark.split}']
    )
    remarks = [*notes, *other]
    return Measurement(value, text, source, '; '.join(remarks), comparable=set(remarks) <= {AUTHORS})


def _sentence(error: Exception) -> str:
    """One line; with the error's type where it was not raised for a user."""
    text = ' '.join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) else f'{type(error).__name__}: {text}'


def prediction_measurements(
    tables: Sequence[Table], predictions: Iterable[str], ann_file: str | Path, backend: str = 'pycocotools'
) -> tuple[dict[Place, Measurement], list[str]]:
    """Scores COCO result files for rows of Tables 4 (boxes) and 5 (masks); what a file holds decides the table.

    Args:
        tables: Those that are to be filled.
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
            benchmark = BENCHMARKS[kind]
            table = next(t for t in TABLES.values() if t.benchmark == kind)
            if row not in (r.config for r in table.rows):
                raise UserError(f'{file} holds masks, and {row} is not a row of {table.name}')
            if table not in tables:
                raise UserError(f'{file} is for {table.name}, which is not asked for')
            if numbers['AP'] < 0:
                raise UserError(f'{ann_file} has nothing to detect')
            images = len(json.loads(Path(ann_file).read_bytes())['images'])
            for column in (m.column for m in benchmark.metrics if numbers[m.column] >= 0):
                value = numbers[column] * benchmark.percent
                found[table.name, row, column] = _measurement(benchmark, value, images, f'measured now ({file})')
        except (ValueError, OSError) as error:
            problems.append(f'--predictions {text}: {error}')
    return found, problems


def _assignment(text: str) -> tuple[str, str]:
    row, equals, file = text.partition('=')
    if not equals:
        raise UserError('needs ROW=FILE')
    rows = [r.config for r in TABLES['table4'].rows]
    if row not in rows:
        near: Any = difflib.get_close_matches(row, rows, n=1)
        raise UserError(f'no row {row!r} in Table 4' + (f'; did you mean {near[0]!r}?' if near else f': {rows}'))
    return row, file
