"""One number of the paper beside ours: what :command:`tools/reproduce.py` prints, checks and writes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from eca_mm.engine import load_config
from eca_mm.engine.metrics import BENCHMARKS
from eca_mm.paper.tables import Row, Table
from eca_mm.paths import CONFIGS

Status = Literal['match', 'differ', 'measured', 'not comparable', 'not measured']

COMPLEXITY = ('Param.', 'FLOPs', 'GFLOPs')
ACCURACY = tuple(dict.fromkeys(metric.column for b in BENCHMARKS.values() for metric in b.metrics))  # in percent
SPEED = ('Training', 'Inference')  # images per second, compared as ratios to the first row of the group


@dataclass(frozen=True)
class Measurement:
    """A number of ours.

    Attributes:
        raw: Its value in full: parameters, operations, per cent, or a ratio of speeds.
        text: The value in the unit and the digits of the paper's column.
        source: Where it comes from: 'measured now', or the file of an earlier measurement.
        note: What a reader must know: why it differs, or why it cannot be compared.
        comparable: False for what was measured on other data or on another machine; it never counts as a reproduction.
    """

    raw: float
    text: str
    source: str
    note: str = ''
    comparable: bool = True


@dataclass(frozen=True)
class Cell:
    """One number of a table; the fields are those of ``--json``.

    Attributes:
        table, row, column: Its place; rows are named by their config.
        paper: As printed, None where the paper has no such number. Speeds are ratios to the plain network.
        ours, raw: Our number as the paper would print it, and in full; None if it is not measured.
        status: 'match': equal in print or, for accuracies, within the tolerance; 'differ'; 'measured', where the paper
            has no number; 'not comparable': measured on other data or another machine; 'not measured'.
        source: Where ours comes from, or the command that would measure it.
        note: A remark on this number.
    """

    table: str
    row: str
    column: str
    paper: str | None
    ours: str | None
    raw: float | None
    status: Status
    source: str
    note: str = ''

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's, in the printed unit; None if either is missing or is not a number."""
        ours, paper = number(self.ours), number(self.paper)
        return None if ours is None or paper is None else ours - paper


Measurements = Mapping[tuple[str, str, str], Measurement]  # by table, row, column


def number(text: str | None) -> float | None:
    """The number in front of a unit, None if there is none.

    >>> number('24.37M'), number('2*C^2/r'), number(None)
    (24.37, None, None)
    """
    match = re.fullmatch(r'(-?\d+(?:\.\d+)?)[MG]?', text or '')
    return float(match[1]) if match else None


def expected(table: Table, row: Row, column: str) -> str | None:
    """The paper's number for a cell; a speed becomes its ratio to the first row of the group, with two digits."""
    printed = row.printed.get(column)
    if column not in SPEED or printed is None:
        return printed
    plain = next(r for r in table.rows if r.group == row.group).printed[column]
    return f'{float(printed) / float(plain or "nan"):.2f}'


def compare(
    tables: Iterable[Table], measurements: Measurements, *, tolerance: float = 0.2, columns: Iterable[str] | None = None
) -> Iterator[Cell]:
    """Every number of the tables beside ours, then those of ours that have no place in them.

    Args:
        tables: From :data:`eca_mm.paper.TABLES`.
        measurements: Ours, by table, row and column.
        tolerance: Greatest difference of an accuracy, in points, that counts as a match. Other numbers must agree in
            print.
        columns: Only these; all of them by default.
    """
    for table in tables:
        for row in table.rows:
            ours = {c: m for (t, r, c), m in measurements.items() if (t, r) == (table.name, row.config)}
            for column in (*table.columns, *(c for c in ours if c not in table.columns)):
                if columns is None or column in columns:
                    yield _cell(table, row, column, ours.get(column), tolerance)


def _cell(table: Table, row: Row, column: str, measured: Measurement | None, tolerance: float) -> Cell:
    paper = expected(table, row, column)
    place = (table.name, row.config, column, paper)
    if measured is None:
        return Cell(*place, None, None, 'not measured', how_to_measure(row, column))
    status: Status
    if not measured.comparable:
        status = 'not comparable'
    elif paper is None:
        status = 'measured'
    elif column in ACCURACY:
        status = 'match' if abs(round(measured.raw - float(paper), 9)) <= tolerance else 'differ'
    else:
        status = 'match' if measured.text == paper else 'differ'
    return Cell(*place, measured.text, measured.raw, status, measured.source, measured.note)


def how_to_measure(row: Row, column: str) -> str:
    """The command that would fill a cell, or why there is none."""
    config = f'configs/{row.config}.py'
    if not (CONFIGS / f'{row.config}.py').is_file():
        return 'no implementation yet'
    if column in COMPLEXITY:
        return 'tools/reproduce.py all --only complexity'
    if column in SPEED:
        return f'tools/benchmark.py {row.config}'
    last = f'work_dirs/{Path(config).stem}/epoch_{max_epochs(row.config)}.pth'
    return f'tools/train.py {config}; tools/test.py {config} {last}'


@cache
def max_epochs(config: str) -> int | None:
    """The length of a config's training; None without such a config."""
    file = CONFIGS / f'{config}.py'
    return int(load_config(file).train_cfg.max_epochs) if file.is_file() else None
