"""The report without a browser: for the terminal, as Markdown, CSV and JSON."""

import csv
import io
import json
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from eca_mm.paper.cells import Cell, Status
from eca_mm.paper.table import Row, Table

WIDTH = 120
SIGNS: dict[Status, str] = {'match': '=', 'differ': '!', 'measured': '', 'not comparable': '~', 'not measured': ''}
PLACEHOLDERS = "CONFIG stands for a row's config, NAME for the part of it after the last slash."


@dataclass(frozen=True)
class Sheet:
    """The cells of one table, by row and column."""

    table: Table
    cells: dict[tuple[str, str], Cell]

    @property
    def title(self) -> str:
        """Such as ``Table 4: Object detection on COCO val2017``."""
        return f'{self.table.label}: {self.table.title}'

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(column for _, column in self.cells))

    @property
    def groups(self) -> list[tuple[str, list[Row]]]:
        """The rows that have cells, below the backbone or detector that they are compared within."""
        present = {row for row, _ in self.cells}
        rows = (row for row in self.table.rows if row.config in present)
        return [(group, list(members)) for group, members in groupby(rows, key=lambda row: row.group)]


def sheets(cells: Iterable[Cell]) -> list[Sheet]:
    """The cells by table, in the order in which they come."""
    found: dict[str, Sheet] = {}
    for cell in cells:
        found.setdefault(cell.table.name, Sheet(cell.table, {})).cells[cell.row, cell.column] = cell
    return list(found.values())


def printed_difference(cell: Cell) -> str:
    """Ours minus the paper's with the paper's digits and a sign; '-' for none, and nothing where formulas are compared."""
    if cell.difference is None:
        return '' if cell.status in ('match', 'differ', 'measured') else '-'
    digits = len((cell.paper or '').rstrip('MG').partition('.')[2])
    rounded = round(cell.difference, digits)
    return f'{rounded:+.{digits}f}' if rounded else f'{0:.{digits}f}'


def origin(cell: Cell) -> str:
    """Where our number comes from, or how it would be measured."""
    return f'not measured: {cell.source}' if cell.status == 'not measured' else cell.source


def provenance(cells: Iterable[Cell]) -> dict[str, str]:
    """The numbers of one table by origin; commands that differ only in the config are one, with placeholders."""
    by_origin: dict[str, list[Cell]] = defaultdict(list)
    rows = set()
    for cell in cells:
        by_origin[origin(cell).replace(cell.row, 'CONFIG').replace(Path(cell.row).name, 'NAME')].append(cell)
        rows.add(cell.row)
    found = {}
    for template, members in by_origin.items():
        exact = {origin(cell) for cell in members}
        every = len(rows) if len(exact) == 1 else None  # a placeholder needs its rows named
        found[exact.pop() if len(exact) == 1 else template] = _places(members, every)
    return found


def _places(cells: Iterable[Cell], every: int | None = None) -> str:
    """'Top-1, Top-5 of imagenet/resnet50, imagenet/se_resnet50'; all rows of a table that has `every` are 'every row'."""
    columns: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        columns[cell.row].append(cell.column)
    rows: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row, names in columns.items():
        rows[tuple(names)].append(row)
    return '; '.join(
        f'{", ".join(names)} of {"every row" if len(of_these) == every else ", ".join(of_these)}'
        for names, of_these in rows.items()
    )


def counts(cells: Iterable[Cell]) -> dict[Status, int]:
    """How many numbers have each status."""
    found = Counter(cell.status for cell in cells)
    return {status: found[status] for status in SIGNS}


def remarks(cells: Iterable[Cell]) -> dict[tuple[Status, str], list[Cell]]:
    """By status and note: the numbers that differ, and all others that have a note."""
    found: dict[tuple[Status, str], list[Cell]] = defaultdict(list)
    for cell in sorted(cells, key=lambda cell: list(SIGNS).index(cell.status)):
        if cell.status == 'differ' or cell.note:
            found[cell.status, cell.note].append(cell)
    return found


def listed(status: Status, cells: Iterable[Cell]) -> Iterator[str]:
    """A line for each number that differs; for other numbers, whose values say less, one for each table."""
    for label, members in groupby(cells, key=lambda cell: cell.table.label):
        if status != 'differ':
            yield f'{label}: {_places(members)}'
            continue
        for c in members:
            numbers = (f'paper {c.paper}', f'ours {c.ours}', printed_difference(c))
            yield f'{label}, {c.row}, {c.column}: {", ".join(filter(None, numbers))}'


def render_text(cells: Sequence[Cell]) -> str:
    """The tables for a terminal of 120 columns: every number of the paper, ours, the difference, and where ours is from."""
    lines = [f'Each number: the paper, ours, ours minus the paper ({_legend()}).', PLACEHOLDERS]
    for sheet in sheets(cells):
        lines += ['', '', sheet.title, *_wrap(sheet.table.remark, '')]
        for block in _blocks(sheet):
            lines += ['', *_side_by_side(sheet, block)]
        lines.append('')
        for source, places in provenance(sheet.cells.values()).items():
            lines += [*_wrap(source, '  '), *_wrap(places, '      ')]
    lines += ['', '', f'Summary: {_summary(cells)}']
    for (status, note), members in remarks(cells).items():
        lines += ['', *_wrap(f'{status}: {note}' if note else status, '  ')]
        for line in listed(status, members):
            lines += _wrap(line, '    ')
    return '\n'.join(lines)


def _legend() -> str:
    return ', '.join(f'{sign} {status}' for status, sign in SIGNS.items() if sign)


def _summary(cells: Iterable[Cell]) -> str:
    return ', '.join(f'{n} {status}' for status, n in counts(cells).items())


def _wrap(text: str, indent: str) -> list[str]:
    """Lines of the terminal's width; commands and paths stay in one piece."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + '    ',
        break_long_words=False,
        break_on_hyphens=False,
    )


def _labels(sheet: Sheet) -> list[str]:
    names = [f'  {row.method}' for _, rows in sheet.groups for row in rows]
    width = max(map(len, names))
    return [f'{name:{width}}' for name in ('', '', *names)]


def _strip(sheet: Sheet, column: str) -> list[str]:
    """A column of the paper as lines of one width: its name, the three headings, and three texts for each row."""
    triples = [('paper', 'ours', 'diff ')]
    for row in (row for _, rows in sheet.groups for row in rows):
        cell = sheet.cells.get((row.config, column))
        triples.append(
            (cell.paper or '-', cell.ours or '-', f'{printed_difference(cell)}{SIGNS[cell.status] or " "}')
            if cell
            else ('', '', '')
        )
    widths = [max(map(len, texts)) for texts in zip(*triples, strict=True)]
    lines = [' '.join(f'{text:>{width}}' for text, width in zip(t, widths, strict=True)) for t in triples]
    return [column.center(len(lines[0])), *lines]


def _blocks(sheet: Sheet) -> list[list[list[str]]]:
    """The columns side by side in as few blocks as the terminal's width allows, about equally many in each."""
    strips = [_strip(sheet, column) for column in sheet.columns]
    room = WIDTH - len(_labels(sheet)[0])
    for count in range(1, len(strips) + 1):
        size = -(-len(strips) // count)
        blocks = [strips[i : i + size] for i in range(0, len(strips), size)]
        if all(sum(3 + len(strip[0]) for strip in block) <= room for block in blocks):
            break
    return blocks


def _side_by_side(sheet: Sheet, strips: list[list[str]]) -> Iterator[str]:
    lines = ('   '.join(parts).rstrip() for parts in zip(_labels(sheet), *strips, strict=True))
    yield next(lines)
    yield next(lines)
    for group, rows in sheet.groups:
        yield group
        for _ in rows:
            yield next(lines)


def render_markdown(cells: Sequence[Cell]) -> str:
    """The tables in Markdown, a cell holding the paper's number, ours in bold and the difference with its sign."""
    lines = [
        "# The paper's numbers and ours",
        '',
        f"Each cell: the paper's number, **ours**, and ours minus the paper's with `{_legend()}`. {_summary(cells)}.",
    ]
    for sheet in sheets(cells):
        lines += ['', f'## {sheet.title}', '', *([_md(sheet.table.remark), ''] if sheet.table.remark else [])]
        lines.append(_md_row('', *map(_md, sheet.columns)))
        lines.append(_md_row(':--', *(['--:'] * len(sheet.columns))))
        for group, rows in sheet.groups:
            lines.append(_md_row(f'*{_md(group)}*', *([''] * len(sheet.columns))))
            for row in rows:
                numbers = (_md_number(sheet.cells.get((row.config, column))) for column in sheet.columns)
                lines.append(_md_row(_md(row.method), *numbers))
        lines += ['', *(f'- {_md(s)}: {_md(places)}' for s, places in provenance(sheet.cells.values()).items())]
    lines += ['', PLACEHOLDERS, '', '## Differences and notes']
    for (status, note), members in remarks(cells).items():
        lines += ['', f'**{status}**: {_md(note)}' if note else f'**{status}**', '']
        lines += (f'- {_md(line)}' for line in listed(status, members))
    return '\n'.join(lines)


def _md(text: str) -> str:
    """Text with Markdown's and HTML's characters escaped; an underscore within a word is none of them."""
    return re.sub(r'([\\`*|<>&~\[\]]|\b_|_\b)', r'\\\1', text)


def _md_row(*cells: str) -> str:
    return f'| {" | ".join(cells)} |'


def _md_number(cell: Cell | None) -> str:
    if cell is None:
        return ''
    paper = _md(cell.paper or '-')
    if cell.ours is None:
        return f'{paper}, -'
    return f'{paper}, **{_md(cell.ours)}** ({f"{printed_difference(cell)} {_md(SIGNS[cell.status])}".strip()})'


def render_csv(cells: Sequence[Cell]) -> str:
    """One line for each number: the record of its :class:`Cell`, and the difference."""
    lines = [c.record() | {'difference': '' if c.difference is None else printed_difference(c)} for c in cells]
    out = io.StringIO()
    writer = csv.DictWriter(out, lines[0], lineterminator='\n')
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue().rstrip('\n')


def render_json(cells: Sequence[Cell]) -> str:
    """A list of the cells' records."""
    return json.dumps([cell.record() for cell in cells], indent=2, ensure_ascii=False)
