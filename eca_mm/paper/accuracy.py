"""Accuracies of the papers' rows: from the metrics of work directories, from checkpoints, or from files of predictions."""

import difflib
import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from eca_mm.analysis.coco import score
from eca_mm.checkpoints import latest_checkpoint
from eca_mm.engine.metrics import BENCHMARKS, Metrics
from eca_mm.errors import MissingFileError, UserError
from eca_mm.paper.table import ACCURACY, Measured, Measurement, Table, max_epochs
from eca_mm.paths import CONFIGS

Evaluate = Callable[[Path, Path, Path], object]  # config, checkpoint and work directory -> metrics.json in the latter
Found = dict[tuple[str, str, str], Measurement]

AUTHORS = "the authors' weights"


def measure_work_dirs(
    tables: Sequence[Table], folder: Path, evaluate: Evaluate | None = None, *, may_be_empty: bool = False
) -> Measured:
    """Metrics in ``folder/<name of the row's config>/metrics.json``, as `tools/test.py` writes them.

    Where there are none, those of the authors' detector count, tested with ``configs/legacy/``.

    Args:
        tables: Their rows are looked for.
        folder: Has one work directory per row.
        evaluate: If given, called for a row with a checkpoint, the newest ``epoch_*.pth``, and without metrics, or with
            older ones.
        may_be_empty: It is no problem if there are no metrics at all.

    Returns:
        The measurements, and a sentence for each row whose checkpoint cannot be evaluated or whose metrics cannot be
        read; for what is no mistake of the user, its traceback.

    Raises:
        MissingFileError: If there is no such folder.
    """
    if not folder.is_dir():
        raise MissingFileError(f'no folder of work directories: {folder}')
    found: Found = {}
    problems = []
    for config in dict.fromkeys(row.config for table in tables for row in table.rows):
        legacy = f'legacy/{config.removesuffix("_1x")}'
        for tested in (config, *([legacy] if (CONFIGS / f'{legacy}.py').is_file() else ())):
            try:
                of_row = _from_work_dir(tables, config, tested, folder / Path(tested).name, evaluate)
                if of_row is not None:
                    found |= of_row
                    break
            except Exception as error:  # the other rows go on
                known = isinstance(error, (UserError, OSError))
                problems.append(f'{tested}: {" ".join(str(error).split()) if known else traceback.format_exc()}')
                break
    if not (found or problems or may_be_empty):
        problems.append(f'{folder} has no metrics.json of a row' + ', nor a checkpoint' * (evaluate is not None))
    return found, problems


def _from_work_dir(
    tables: Iterable[Table], config: str, tested: str, work_dir: Path, evaluate: Evaluate | None
) -> Found | None:
    """What the metrics give for a row, after an evaluation if need be; None if there are no metrics."""
    file, checkpoint, when = work_dir / 'metrics.json', latest_checkpoint(work_dir), 'measured before'
    newer = checkpoint is not None and file.is_file() and checkpoint.stat().st_mtime > file.stat().st_mtime
    if not file.is_file() or (evaluate is not None and newer):
        if evaluate is None or not any(work_dir.glob('epoch_*.pth')):
            return None
        if checkpoint is None:
            raise UserError(f'no checkpoint in {work_dir} is complete')
        evaluate(CONFIGS / f'{tested}.py', checkpoint, work_dir)
        when = 'measured now'
    metrics = Metrics.read(file)
    if metrics.config is not None and Path(metrics.config).stem != Path(tested).name:
        raise UserError(f'{file} is of {metrics.config}, not of {tested}')
    if not {m.name for b in BENCHMARKS.values() for m in b.metrics} & metrics.metrics.keys():
        raise UserError(f'{file} has none of the metrics of the tables: nothing was evaluated, or nothing detected')
    weights = 'unknown weights' if metrics.checkpoint is None else Path(metrics.checkpoint).name
    source = f'{when} ({Path(*file.parts[-3:])}, {weights})'
    return _measurements(tables, config, metrics, source, _about_weights(metrics, weights, tested))


def _measurements(tables: Iterable[Table], row: str, metrics: Metrics, source: str, weights: str = '') -> Found:
    """For the row of each table; comparable if it is on the paper's images and after the whole training."""
    found = {}
    for table in (t for t in tables if row in (r.config for r in t.rows)):
        benchmark = BENCHMARKS[table.benchmark]
        images = f'on {metrics.images} images, not on the {benchmark.images} of {benchmark.split}'
        note = '; '.join(filter(None, (weights, images if metrics.images != benchmark.images else '')))
        for metric in benchmark.metrics:
            value = metrics.metrics.get(metric.name, -1) * benchmark.percent
            if metric.column not in table.columns or value == -benchmark.percent:  # COCO's -1: nothing to detect
                continue
            if not 0 <= value <= 100:  # NaN too
                raise UserError(f'{metric.name} is {metrics.metrics[metric.name]}, which is no accuracy: {source}')
            text = f'{value:.{benchmark.digits}f}'
            found[table.name, row, metric.column] = Measurement(value, text, source, note, note in ('', AUTHORS))
    return found


def _about_weights(metrics: Metrics, checkpoint: str, config: str) -> str:
    """What must be said of the weights: nothing, if they are those of this config's whole training."""
    if metrics.source == 'authors' or config.startswith('legacy/'):
        return AUTHORS
    if metrics.source:  # of converted weights
        return f'weights of {metrics.source}'
    named = re.search(r'epoch_(\d+)\.pth$', checkpoint)
    epoch = int(named[1]) if metrics.epoch is None and named else metrics.epoch
    if epoch is None:
        return 'after an unknown number of epochs'
    last = max_epochs(CONFIGS / f'{config}.py')
    return f'after {epoch} of {last} epochs' if epoch != last else ''


def measure_predictions(
    tables: Sequence[Table], predictions: Iterable[str], ann_file: str | Path, backend: str = 'pycocotools'
) -> Measured:
    """Scores COCO result files for the rows of tables of boxes or of masks, whichever a file holds.

    Args:
        tables: Those that are to be filled.
        predictions: ``row=file``, e.g. ``mask_rcnn_eca_r50_fpn_1x=out.segm.json``.
        ann_file: COCO annotations; all their images count.
        backend: See :func:`eca_mm.analysis.coco.score`.

    Returns:
        The measurements, and a sentence for each file that cannot be scored.
    """
    found: Found = {}
    problems = []
    for text in predictions:
        try:
            found |= _scored(tables, text, ann_file, backend)
        except (UserError, OSError) as error:
            problems.append(f'`predictions` {text}: {error}')
    return found, problems


def _scored(tables: Sequence[Table], assignment: str, ann_file: str | Path, backend: str) -> Found:
    row, equals, file = assignment.partition('=')
    if not equals:
        raise UserError('needs ROW=FILE')
    rows = {r.config for table in tables if ACCURACY in table.columns.values() for r in table.rows}
    if row not in rows:
        near = difflib.get_close_matches(row, rows, n=1)
        hint = f'did you mean {near[0]!r}?' if near else f'they have {", ".join(sorted(rows))}'
        raise UserError(f'no row {row!r} in the tables that are asked for; {hint}')
    kind, numbers, images = score(file, ann_file, backend)
    metrics = Metrics({m.name: numbers[m.column] for m in BENCHMARKS[kind].metrics}, images)
    found = _measurements(tables, row, metrics, f'measured now ({file})')
    if not found:
        task = f'{file} is for {BENCHMARKS[kind].task}'
        raise UserError(
            f'{task}; no table of that, among those asked for, has the row {row}'
            if numbers['AP'] >= 0
            else f'{ann_file} has nothing to detect'
        )
    return found
