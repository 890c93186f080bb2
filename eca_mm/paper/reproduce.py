"""All of the paper's numbers beside all of ours."""

import difflib
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from eca_mm.errors import UserError
from eca_mm.paper.accuracy import Evaluate, prediction_measurements, work_dir_measurements
from eca_mm.paper.cells import ACCURACY, COMPLEXITY, SPEED, Cell, Measurement, compare
from eca_mm.paper.complexity import EXPLAINED, HONEST, complexity_measurements
from eca_mm.paper.speed import speed_measurements
from eca_mm.paper.tables import TABLES, Table
from eca_mm.paths import REPOSITORY

ONLY = {'complexity': (*COMPLEXITY, *HONEST), 'accuracy': ACCURACY, 'speed': SPEED}
MEASURED = (
    Path(__file__).parent / 'measured'
)  # comes with the package: CSVs of speeds, a metrics.json in a folder per row


@dataclass
class Reproduction:
    """What `tools/reproduce.py` prints.

    Attributes:
        cells: Every number of the tables.
        problems: A sentence for each file that should have given a number and could not.
    """

    cells: list[Cell]
    problems: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[Cell]:
        """Numbers that differ from the paper's, but for those whose reason is known."""
        return [c for c in self.cells if c.status == 'differ' and (c.row, c.column, c.ours) not in EXPLAINED]


def select_tables(names: Iterable[str]) -> list[Table]:
    """Tables by name, in the paper's order; 'all' is all of them.

    Raises:
        ValueError: For an unknown name.
    """
    names = set(names)
    for name in sorted(names - {'all', *TABLES}):
        near = difflib.get_close_matches(name, TABLES, n=1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        raise UserError(f'no table {name!r}: there are {", ".join(TABLES)} and all{hint}')
    return [t for name, t in TABLES.items() if name in names or 'all' in names]


def reproduce(
    tables: Sequence[Table],
    *,
    only: str | None = None,
    work_dirs: Path | None = None,
    evaluate: Evaluate | None = None,
    predictions: Sequence[str] = (),
    ann_file: Path | None = None,
    backend: str = 'pycocotools',
    speed: Sequence[Path] | None = None,
    tolerance: float = 0.2,
) -> Reproduction:
    """Measures what can be measured here and now, reads what was measured before, and sets it beside the paper.

    Args:
        tables: From :func:`select_tables`.
        only: 'complexity', 'accuracy' or 'speed'; all three by default.
        work_dirs: Folder with one work directory per row; they go before the metrics that come with the package.
        evaluate: Evaluates a row's checkpoint; rows without metrics stay unmeasured without it.
        predictions: ``row=file`` pairs of COCO result files, scored against ``ann_file`` by ``backend``.
        speed: CSV files of `tools/benchmark.py`; by default those that come with the package.
        tolerance: Greatest difference of an accuracy, in points, that counts as a match.

    Raises:
        FileNotFoundError: If ``work_dirs`` is not there.
        ValueError: If an argument would do nothing without another one, or beside it.
    """
    _check_options(only, work_dirs, evaluate, predictions, ann_file, speed)
    if not 0 <= tolerance <= 100:
        raise UserError(f'tolerance must be a number of points from 0 to 100, got {tolerance}')
    measurements: dict[tuple[str, str, str], Measurement] = {}
    problems: list[str] = []
    if only in (None, 'complexity'):
        measurements |= complexity_measurements(tables)
    if only in (None, 'speed'):
        for file in sorted(MEASURED.glob('*.csv')) if speed is None else speed:
            try:
                measurements |= speed_measurements([file])
            except (ValueError, OSError) as error:
                problems.append(str(error))
    if only in (None, 'accuracy'):
        found, unread = work_dir_measurements(tables, MEASURED)
        measurements |= found
        problems += unread
        if work_dirs is not None:
            found, unread = work_dir_measurements(tables, work_dirs, evaluate)
            measurements |= found
            problems += unread
            if not found and not unread:
                problems.append(
                    f'{work_dirs} has no metrics.json of a row' + ', nor a checkpoint' * (evaluate is not None)
                )
        if ann_file is not None:
            found, unread = prediction_measurements(tables, predictions, ann_file, backend)
            measurements |= found
            problems += unread
    columns = None if only is None else ONLY[only]
    return Reproduction(list(compare(tables, measurements, tolerance=tolerance, columns=columns)), problems)


def _check_options(
    only: str | None,
    work_dirs: Path | None,
    evaluate: Evaluate | None,
    predictions: Sequence[str],
    ann_file: Path | None,
    speed: Sequence[Path] | None,
) -> None:
    if predictions and ann_file is None:
        raise UserError('--predictions needs --ann-file, the annotations of the images')
    if ann_file is not None and not predictions:
        raise UserError('--ann-file is for --predictions, and there are none')
    if evaluate is not None and work_dirs is None:
        raise UserError('--run needs --work-dirs, the folder with the checkpoints')
    if only in ('complexity', 'speed') and (work_dirs is not None or predictions):
        raise UserError(f'--only {only} leaves out the accuracies that --work-dirs and --predictions give')
    if only in ('complexity', 'accuracy') and speed is not None:
        raise UserError(f'--only {only} leaves out the speeds that --speed gives')


def environment() -> dict[str, str]:
    """What the numbers were made with: versions, machine, date, commit."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    names = ('torch', 'torchvision', 'pycocotools', 'numpy', 'timm')
    stack = [f'{prefix}{name}' for name in ('mmengine', 'mmcv', 'mmdet', 'mmpretrain') for prefix in ('onedl-', '')]
    versions = {n: _version(n) for n in ('eca-net-mm', *names, *stack, 'onedl-mmdetection')}
    return {
        'date': date.today().isoformat(),
        'commit': _commit(),
        'machine': f'{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads, {device}',
        'Python': platform.python_version(),
        **{name: v for name, v in versions.items() if v},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    if not (REPOSITORY / '.git').exists():
        return 'not a checkout'
    command = ['git', 'describe', '--always', '--dirty']
    try:
        run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return 'unknown'
    return run.stdout.strip() or 'unknown'
