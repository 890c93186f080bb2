"""The report without a browser: Markdown, which the terminal shows through rich, CSV and JSON."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.markdown import Markdown

from eca_mm.paper.cells import Cell
from eca_mm.paper.report.sheets import PLACEHOLDERS, SIGNS, Sheet, differences, sheets, summary
from eca_mm.paper.table import Row


def render_text(cells: Sequence[Cell]) -> str:
    """The Markdown as a terminal of 120 columns shows it."""
    screen = io.StringIO()
    Console(file=screen, width=120).print(Markdown(render_markdown(cells)))
    return '\n'.join(map(str.rstrip, screen.getvalue().splitlines()))


def render_markdown(cells: Sequence[Cell]) -> str:
    """The tables: of each row a line of the paper's numbers and, where there are any of ours, these and the differences."""
    signs = ', '.join(f'{sign} {status}' for status, sign in SIGNS.items() if sign)
    counted = ', '.join(f'{n} {status}' for status, n in summary(cells).items())
    lines = [f"# The paper's numbers and ours\n\n*diff* is ours minus the paper's: {signs}. {PLACEHOLDERS}"]
    for sheet in sheets(cells):
        lines += ['', f'## {_escaped(sheet.title)}', '', _escaped(sheet.table.remark), '']
        lines += [_line('', '', *sheet.columns), _line(':--', ':--', *['--:'] * len(sheet.columns))]
        for group, rows in sheet.groups:
            lines += [_line(f'{group}:'), *(line for row in rows for line in _row(sheet, row))]
        lines += ['', *(_escaped(f'- {origin}: {places}') for origin, places in sheet.origins().items())]
    lines += ['', f'## Summary\n\n{counted}.\n', *(_escaped(f'- differ: {line}') for line in differences(cells))]
    return '\n'.join(lines)


def _row(sheet: Sheet, row: Row) -> Iterator[str]:
    cells = [sheet.cells.get((row.config, column)) for column in sheet.columns]
    yield _line(row.method, 'paper', *(None if cell is None else cell.paper for cell in cells))
    if any(cell is not None and cell.ours for cell in cells):
        yield _line('', 'ours', *(None if cell is None else cell.ours for cell in cells))
        yield _line(
            '', 'diff', *('' if cell is None else cell.printed_difference + SIGNS[cell.status] for cell in cells)
        )


def _line(*texts: str | None) -> str:
    return f'| {" | ".join(_escaped(text or "") for text in texts)} |'


def _escaped(text: str) -> str:
    """Without Markdown's and HTML's meaning of characters; an underscore within a word has none."""
    return re.sub(r'([\\`*|<>&~\[\]]|\b_|_\b)', r'\\\1', text)


def render_csv(cells: Iterable[Cell]) -> str:
    """A line for each number: the record of its :class:`Cell`, and the difference."""
    lines = [cell.record() | {'difference': cell.printed_difference} for cell in cells]
    out = io.StringIO()
    writer = csv.DictWriter(out, lines[0], lineterminator='\n')
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue().rstrip('\n')


def render_json(cells: Iterable[Cell]) -> str:
    """A list of the cells' records."""
    return json.dumps([cell.record() for cell in cells], indent=2, ensure_ascii=False)
