"""What the report says, whatever it is rendered as."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from eca_mm.paper.cells import Cell, Status
from eca_mm.paper.table import Row, Table

SIGNS: dict[Status, str] = {'match': '=', 'differ': '!', 'measured': '', 'not comparable': '~', 'not measured': ''}
PLACEHOLDERS = "CONFIG stands for a row's config, NAME for the part of it after the last slash."


@dataclass(frozen=True)
class Sheet:
    """The cells of one table, by row and column."""

    table: Table
    cells: dict[tuple[str, str], Cell]

    @property
    def title(self) -> str:
        return f'{self.table.label}: {self.table.title}'

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(column for _, column in self.cells))

    @property
    def groups(self) -> list[tuple[str, list[Row]]]:
        """The rows that have cells, by the backbone or detector that they are compared within."""
        present = {row for row, _ in self.cells}
        rows = (row for row in self.table.rows if row.config in present)
        return [(group, list(members)) for group, members in groupby(rows, key=lambda row: row.group)]

    def origins(self) -> dict[str, str]:
        """Where our numbers come from, with their notes -> which these are, such as 'AP, AP50 of ROW, ROW; AP of ROW'.

        Commands and files that differ only in the config are one, with placeholders.
        """
        columns: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for cell in self.cells.values():
            template = cell.origin.replace(cell.row, 'CONFIG').replace(Path(cell.row).name, 'NAME')
            columns[template][cell.row].append(cell.column)
        rows: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for origin, of_rows in columns.items():
            for row, names in of_rows.items():
                rows[origin][', '.join(names)].append(row)
        return {o: '; '.join(f'{names} of {", ".join(r)}' for names, r in found.items()) for o, found in rows.items()}


def sheets(cells: Iterable[Cell]) -> list[Sheet]:
    """The cells by table, in the order in which they come."""
    found: dict[str, Sheet] = {}
    for cell in cells:
        found.setdefault(cell.table.name, Sheet(cell.table, {})).cells[cell.row, cell.column] = cell
    return list(found.values())


def summary(cells: Iterable[Cell]) -> dict[Status, int]:
    """How many numbers have each status."""
    found = Counter(cell.status for cell in cells)
    return {status: found[status] for status in SIGNS}


def differences(cells: Iterable[Cell]) -> list[str]:
    """A sentence for each number that differs."""
    return [
        f'{c.table.label}, {c.row}, {c.column}: paper {c.paper}, ours {c.ours}, '
        + ': '.join(filter(None, (c.difference, c.note)))
        for c in cells
        if c.status == 'differ'
    ]
