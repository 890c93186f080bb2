"""One number of a paper beside ours: what :command:`tools/reproduce.py` prints, checks and writes."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Literal

from eca_mm.errors import UserError
from eca_mm.paper.table import Measurement, Measurements, Row, Table

Status = Literal['match', 'differ', 'measured', 'not comparable', 'not measured']


@dataclass(frozen=True)
class Cell:
    """One number of a table."""

    table: Table
    row: str  # its config
    column: str
    paper: str | None  # as printed, None where the paper has no such number; speeds as ratios to the group's first row
    ours: str | None  # as the paper would print it; None if it is not measured
    raw: float | None  # ours in full
    # 'match': equal in print or, for accuracies, within the tolerance; 'measured': the paper has no such number;
    # 'not comparable': measured on other data or another machine.
    status: Status
    source: str  # where ours comes from, or the command that would measure it
    note: str = ''

    @property
    def difference(self) -> str:
        """Ours minus the paper's with a sign and the paper's digits; empty if either is missing or is not a number."""
        ours, paper = number(self.ours), number(self.paper)
        if ours is None or paper is None:
            return ''
        digits = len((self.paper or '').rstrip('MG').partition('.')[2])
        rounded = round(ours - paper, digits)
        return f'{rounded:+.{digits}f}' if rounded else f'{0:.{digits}f}'

    @property
    def origin(self) -> str:
        """Where our number comes from and what is to be said of it, or how it would be measured."""
        missing = 'not measured: ' if self.status == 'not measured' else ''
        return ' - '.join(filter(None, (f'{missing}{self.source}', self.note)))

    @property
    def is_failure(self) -> bool:
        """Whether it differs, and it is not known why ours cannot be the paper's number."""
        return self.status == 'differ' and (self.row, self.column, self.ours) not in self.table.explained

    def record(self) -> dict[str, str | float | None]:
        """The fields of the JSON file, the table by its name."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {'table': self.table.name}


def number(text: str | None) -> float | None:
    """The number in front of a unit, None if there is none.

    >>> number('24.37M'), number('2*C^2/r'), number(None)
    (24.37, None, None)
    """
    match = re.fullmatch(r'(-?\d+(?:\.\d+)?)[MG]?', text or '')
    return float(match[1]) if match else None


def beside_the_paper(tables: Iterable[Table], measurements: Measurements, *, tolerance: float = 0.2) -> Iterator[Cell]:
    """Every number of the tables beside ours, row by row; after each row those of ours for which it has no column.

    Args:
        tables: From :data:`eca_mm.paper.TABLES`.
        measurements: Ours, by table, row and column.
        tolerance: Greatest difference of an accuracy, in points, that counts as a match. Other numbers must agree in
            print.

    Raises:
        UserError: If the tolerance is no number of points.
    """
    if not 0 <= tolerance <= 100:
        raise UserError(f'tolerance must be a number of points from 0 to 100, got {tolerance}')
    for table in tables:
        for row in table.rows:
            ours = {c: m for (t, r, c), m in measurements.items() if (t, r) == (table.name, row.config)}
            for column in dict.fromkeys((*table.columns, *ours)):
                yield _cell(table, row, column, ours.get(column), tolerance)


def _cell(table: Table, row: Row, column: str, measured: Measurement | None, tolerance: float) -> Cell:
    kind, paper = table.columns.get(column), row.printed.get(column)
    if paper is not None and kind is not None and kind.as_ratio:
        paper = f'{float(paper) / float(table.first_of_group(row).printed[column] or "nan"):.2f}'
    if measured is None:
        how = table.columns[column].command(row)
        return Cell(table, row.config, column, paper, None, None, 'not measured', how)
    if not measured.comparable:
        status: Status = 'not comparable'
    elif paper is None:
        status = 'measured'
    elif kind is not None and kind.within_tolerance:
        status = 'match' if abs(round(measured.raw - float(paper), 9)) <= tolerance else 'differ'
    else:
        status = 'match' if measured.text == paper else 'differ'
    note = measured.note or table.explained.get((row.config, column, measured.text), '')
    return Cell(table, row.config, column, paper, measured.text, measured.raw, status, measured.source, note)
