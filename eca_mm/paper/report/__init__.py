"""The comparison with the paper, rendered: for the terminal, as files, and as a page with the paper's figures."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from eca_mm.output import write_atomically
from eca_mm.paper.cells import Cell, number
from eca_mm.paper.report.figures import figures
from eca_mm.paper.report.page import template
from eca_mm.paper.report.sheets import PLACEHOLDERS, SIGNS, Sheet, differences, sheets, summary
from eca_mm.paper.table import Row


def write_report(cells: Sequence[Cell], folder: Path, environment: Mapping[str, str]) -> list[Path]:
    """Writes report.md, report.csv, report.json and index.html, and returns their paths.

    Args:
        cells: From :func:`eca_mm.paper.reproduce.reproduce`.
        folder: Is created if it does not exist; files of these names in it are replaced.
        environment: What the numbers were measured with, such as versions and the processor.

    Raises:
        UserError: If the folder cannot be created or written to.
    """
    texts = {
        'report.md': render_markdown(cells),
        'report.csv': render_csv(cells),
        'report.json': render_json(cells),
        'index.html': render_html(cells, environment),
    }
    return [write_atomically(folder / name, f'{text}\n') for name, text in texts.items()]


def render_html(cells: Sequence[Cell], environment: Mapping[str, str]) -> str:
    """A page that works from a file, without network: summary, figures, sortable tables with the origins of our numbers."""
    found = sheets(cells)
    return template('page.html').render(
        sheets=found,
        papers=list(dict.fromkeys(sheet.table.paper for sheet in found)),
        figures=list(figures(found)),
        summary=summary(cells),
        signs=SIGNS,
        number=number,
        placeholders=PLACEHOLDERS,
        differences=differences(cells),
        environment=environment,
    )


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
        yield _line('', 'diff', *('' if cell is None else cell.difference + SIGNS[cell.status] for cell in cells))


def _line(*texts: str | None) -> str:
    return f'| {" | ".join(_escaped(text or "") for text in texts)} |'


def _escaped(text: str) -> str:
    """Without Markdown's and HTML's meaning of characters; an underscore within a word has none."""
    text = re.sub(r'([\\`*|\[\]]|\b_|_\b)', r'\\\1', text)
    return re.sub('[<>&~]', lambda sign: f'&#{ord(sign[0])};', text)  # which mkdocs takes no backslash before


def render_csv(cells: Iterable[Cell]) -> str:
    """A line for each number: the record of its :class:`Cell`, and the difference."""
    lines = [cell.record() | {'difference': cell.difference} for cell in cells]
    out = io.StringIO()
    writer = csv.DictWriter(out, lines[0] if lines else (), lineterminator='\n')
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue().rstrip('\n')


def render_json(cells: Iterable[Cell]) -> str:
    """A list of the cells' records."""
    return json.dumps([cell.record() for cell in cells], indent=2, ensure_ascii=False)
