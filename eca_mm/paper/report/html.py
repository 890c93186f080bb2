"""The report as one page that works from a file, without network: page.html, page.css and page.js filled in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from eca_mm.paper.cells import Cell, Status, number
from eca_mm.paper.report.figures import figures
from eca_mm.paper.report.text import (
    PLACEHOLDERS,
    SIGNS,
    Sheet,
    counts,
    listed,
    origin,
    printed_difference,
    provenance,
    remarks,
    sheets,
)
from eca_mm.paper.table import Paper, Row

MEANING: dict[Status, str] = {
    'match': 'equal in print or, for accuracies, within the tolerance',
    'differ': 'not equal; the reason stands below, where we know it',
    'measured': 'the paper has no such number',
    'not comparable': 'measured on other data or another machine',
    'not measured': 'the command that would measure it stands below its table',
}


def render_html(cells: Sequence[Cell], environment: Mapping[str, str]) -> str:
    """The page: summary, figures, sortable tables with the origins of our numbers, differences, environment.

    Args:
        cells: From :func:`eca_mm.paper.compare`.
        environment: What the numbers were measured with, such as versions and the processor.
    """
    found = sheets(cells)
    papers = list(dict.fromkeys(s.table.paper for s in found))
    return Template(_file('page.html')).substitute(
        methods=escape(', '.join(paper.name for paper in papers)),
        papers='\n'.join(_cited(paper) for paper in papers),
        css=_file('page.css'),
        js=_file('page.js'),
        contents=' '.join(f'<a href="#{s.table.name}">{s.table.label}</a>' for s in found),
        summary='\n'.join(_summary(cells)),
        figures='\n'.join(_figures(cells)),
        tables='\n'.join(part for sheet in found for part in _section(sheet)),
        placeholders=escape(PLACEHOLDERS),
        remarks='\n'.join(_remarks(cells)) or '<p>There are none.</p>',
        environment='\n'.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in environment.items()),
    )


def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding='utf-8').rstrip()


def _cited(paper: Paper) -> str:
    return f'<p>{escape(paper.authors)}. <cite>{escape(paper.title)}.</cite> {escape(paper.venue)}.</p>'


def _kind(status: Status) -> str:
    return status.replace(' ', '-')


def _sign(status: Status) -> str:
    return f'<span class="sign">{SIGNS[status] or "&ndash;"}</span>'


def _summary(cells: Iterable[Cell]) -> Iterator[str]:
    for status, n in counts(cells).items():
        yield f'<div class="{_kind(status)}"><dt>{_sign(status)} {status}</dt><dd>{n}<p>{MEANING[status]}</p></dd></div>'


def _figures(cells: Sequence[Cell]) -> Iterator[str]:
    for figure in figures(cells):
        yield f'<figure>{figure.svg}<figcaption>{escape(figure.caption)}</figcaption></figure>'


def _section(sheet: Sheet) -> Iterator[str]:
    title = escape(sheet.title)
    yield f'<section id="{sheet.table.name}"><h2>{title}</h2>'
    yield f'<p>{escape(sheet.table.remark)}</p>' if sheet.table.remark else ''
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{title}"><table>'
    yield f'<thead><tr>{_sortable("Method", "Method", "rowspan=2")}'
    yield ''.join(f'<th colspan="3" scope="colgroup">{escape(column)}</th>' for column in sheet.columns)
    yield '</tr><tr>'
    for column in sheet.columns:
        yield ''.join(_sortable(part, f'{column}, {part}') for part in ('paper', 'ours', 'diff'))
    yield '</tr></thead>'
    for group, rows in sheet.groups:
        yield f'<tbody><tr class="group"><th colspan="{1 + 3 * len(sheet.columns)}" scope="rowgroup">'
        yield f'<span>{escape(group)}</span></th></tr>'
        yield from (_row(sheet, row) for row in rows)
        yield '</tbody>'
    yield '</table></div><details><summary>Where our numbers come from</summary><dl>'
    for source, places in provenance(sheet.cells.values()).items():
        yield f'<dt>{escape(source)}</dt><dd>{escape(places)}</dd>'
    yield '</dl></details></section>'


def _sortable(text: str, label: str, span: str = '') -> str:
    return f'<th scope="col" aria-sort="none" {span}><button aria-label="{escape(label)}">{escape(text)}</button></th>'


def _row(sheet: Sheet, row: Row) -> str:
    numbers = ''.join(_number(sheet.cells.get((row.config, column))) for column in sheet.columns)
    return f'<tr><th scope="row" title="{escape(row.config)}">{escape(row.method)}</th>{numbers}</tr>'


def _number(cell: Cell | None) -> str:
    if cell is None:
        return '<td></td>' * 3
    tip = escape('. '.join(filter(None, (origin(cell), cell.note))))
    difference = f'{printed_difference(cell).replace("-", "&minus;")} {_sign(cell.status)}' if cell.ours else '&ndash;'
    absent = '' if cell.ours else ' class="not-measured"'
    return (
        f'<td data-value="{_value(number(cell.paper))}">{_printed(cell.paper)}</td>'
        f'<td data-value="{_value(number(cell.ours))}"{absent} title="{tip}">{_printed(cell.ours)}</td>'
        f'<td data-value="{_value(cell.difference)}" class="{_kind(cell.status)}" title="{tip}">{difference}</td>'
    )


def _printed(text: str | None) -> str:
    return escape(text) if text else '&ndash;'


def _value(value: float | None) -> str:
    return '' if value is None else f'{value:g}'


def _remarks(cells: Iterable[Cell]) -> Iterator[str]:
    for (status, note), members in remarks(cells).items():
        items = ''.join(f'<li>{escape(line)}</li>' for line in listed(status, members))
        yield f'<h3 class="{_kind(status)}">{_sign(status)} {status}</h3><p>{escape(note)}</p><ul>{items}</ul>'
