"""All of the papers' numbers beside all of ours."""

import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

import torch

from eca_mm.errors import UserError
from eca_mm.paper.accuracy import measure_work_dirs
from eca_mm.paper.cells import Cell, beside_the_paper
from eca_mm.paper.complexity import measure_complexity
from eca_mm.paper.speed import measure_speed
from eca_mm.paper.table import ACCURACY, COMPLEXITY, SPEED, Measurement, Measurer, Table
from eca_mm.paper.tables import TABLES
from eca_mm.paths import REPOSITORY

# Comes with the package: CSVs of speeds, and a metrics.json in a folder per row.
MEASURED = Path(__file__).parent / 'measured'
PACKAGES = re.compile(r'eca-net-mm|torch(vision)?|numpy|pycocotools|timm|(onedl-)?mm(engine|cv|det|detection|pretrain)')


def select_tables(names: Iterable[str]) -> list[Table]:
    """Tables by name, in the paper's order; 'all' is all of them.

    Raises:
        UserError: For an unknown name.
    """
    names = set(names)
    for name in sorted(names - {'all', *TABLES}):
        raise UserError(f'no table {name!r}: there are {", ".join(TABLES)} and all')
    return [t for name, t in TABLES.items() if name in names or 'all' in names]


def measurers_without_data() -> dict[str, list[Measurer]]:
    """By the kind of column, what needs nothing of the user's: the counts, and what was measured and comes with the package."""
    return {
        COMPLEXITY.name: [measure_complexity],
        SPEED.name: [partial(measure_speed, files=sorted(MEASURED.glob('*.csv')))],
        ACCURACY.name: [partial(measure_work_dirs, folder=MEASURED, may_be_empty=True)],
    }


def reproduce(
    tables: Sequence[Table], measurers: Iterable[Measurer], *, tolerance: float = 0.2
) -> tuple[list[Cell], list[str]]:
    """Sets what the measurers give beside what the papers print, see :func:`beside_the_paper`.

    Where two measured the same, the later one counts.

    Returns:
        Every number of the tables, and a sentence for each file that should have given a number and could not.

    Raises:
        UserError: As the measurers, or if the tolerance is no number of points.
    """
    measurements: dict[tuple[str, str, str], Measurement] = {}
    problems: list[str] = []
    for measure in measurers:
        found, complaints = measure(tables)
        measurements |= found
        problems += complaints
    return list(beside_the_paper(tables, measurements, tolerance=tolerance)), problems


def environment() -> dict[str, str]:
    """What the numbers were made with: versions, machine, date, commit."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    versions = {d.metadata['Name']: d.version for d in distributions() if PACKAGES.fullmatch(d.metadata['Name'] or '')}
    # Without that option git refreshes, so writes, the index of the repository.
    command = ['git', '--no-optional-locks', f'--git-dir={REPOSITORY}/.git', 'describe', '--always', '--dirty']
    try:
        commit = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        commit = ''
    return {
        'date': date.today().isoformat(),
        'commit': commit or 'unknown',
        'machine': f'{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads, {device}',
        'Python': platform.python_version(),
        **dict(sorted(versions.items())),
    }
