"""Plots of tables as inline SVG, drawn by matplotlib; their colours are the variables of page.css, light and dark."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from math import pi, sqrt
from pathlib import Path
from typing import Any

from eca_mm.paper.cells import Cell, number
from eca_mm.paper.report.text import Sheet, sheets
from eca_mm.paper.table import Plot, Row

WIDTH, HEIGHT = 360, 350  # in points of 1/72 inch, which are the SVG's units
AREA = 4.0  # square points of a circle for a million parameters
# Stand for variables of page.css, which matplotlib does not take.
NAMES = ('ink', 'soft', 'rule', 'grey', 'blue', 'green', 'violet', 'ochre', 'teal', 'red')
COLOURS = {name: f'#fe{i:02x}fe' for i, name in enumerate(NAMES)}
STYLE = Path(__file__).with_name('page.mplstyle')
LINES = {'paper': (0, (4, 3)), 'ours': 'solid'}


@dataclass(frozen=True)
class Figure:
    """A drawing and what is to be said below it."""

    svg: str
    caption: str


@dataclass(frozen=True, eq=False)
class _Point:
    """A row in the paper's numbers ('paper') or in ours ('ours'); ``text`` says it all."""

    row: Row
    who: str
    text: str
    top1: float
    flops: float = 0.0
    parameters: float = 0.0


def figures(cells: Sequence[Cell]) -> Iterator[Figure]:
    """The figures of the tables that have a plot, and its columns, among the cells."""
    kinds = {'operations': (_draw_operations, ('Top-1', 'FLOPs', 'Param.')), 'kernel_size': (_draw_sizes, ('Top-1',))}
    for sheet in sheets(cells):
        plot = sheet.table.plot
        if plot is not None:
            draw, columns = kinds[plot.kind]
            points = list(_points(sheet, plot, columns)) if {*columns} <= {*sheet.columns} else []
            if points:
                yield _figure(f'{sheet.table.name}-plot', plot, draw, points)


def _points(sheet: Sheet, plot: Plot, columns: Sequence[str]) -> Iterator[_Point]:
    for group, rows in sheet.groups:
        for row in rows if group in plot.groups or not plot.groups else ():
            cells = [sheet.cells[row.config, column] for column in columns]
            # Ours is drawn if it is measured on the paper's data, as far as a cell without a number of the paper's tells.
            shown = cells[0].ours is not None and cells[0].status != 'not comparable'
            for who in ('paper', 'ours') if shown else ('paper',):
                texts = [getattr(cell, who) for cell in cells]
                values = [value for value in map(number, texts) if value is not None]
                if len(values) == len(columns):
                    more = f' with {texts[1]} FLOPs, {texts[2]} parameters' if len(texts) > 1 else ''
                    yield _Point(row, who, f'{row.method}, {group}, {who}: {texts[0]} %{more}', *values)


def _figure(name: str, plot: Plot, draw: Any, points: Sequence[_Point]) -> Figure:
    import matplotlib as mpl
    from matplotlib import figure
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.StringIO()
    with mpl.rc_context({'svg.hashsalt': name}, STYLE):
        drawing = figure.Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
        FigureCanvasSVG(drawing)
        draw(drawing, plot, points)
        drawing.savefig(file, transparent=True, metadata=dict.fromkeys(('Date', 'Creator', 'Format', 'Type')))
    measured = any(p.who == 'ours' for p in points)
    ours = 'Ours are drawn where they are measured.' if measured else 'None of our accuracies is measured yet.'
    return Figure(_inline(file.getvalue(), name, plot.title), f'{plot.caption} {ours}')


def _inline(svg: str, name: str, title: str) -> str:
    """The SVG for a page: no prolog, sizes and fonts of its own; groups named ``kind|who|text`` get classes and a title."""
    body = svg[svg.index('<g id=') :]
    body = re.sub(r'<g id="(\w+)\|(\w+)\|([^"]*)">', r'<g class="\1 \2"><title>\3</title>', body)
    body = re.sub(r'<g id="[^"]*">', '<g>', body)
    body = re.sub(r""" clip-path="[^"]*"| font-family: 'DejaVu Sans';""", '', body)  # nothing is outside the axes
    for colour, variable in COLOURS.items():
        body = body.replace(variable, f'var(--{colour})')
    return (
        f'<svg id="{name}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n{body}'
    )


def _colour(plot: Plot, method: str) -> str:
    return COLOURS[plot.colours.get(method) or plot.colours.get(method.split()[0], 'grey')]


def _circle(axes: Any, plot: Plot, point: _Point, x: float, area: float) -> None:
    """Hollow for the paper's number, filled for ours."""
    colour = _colour(plot, point.row.method)
    face = (colour, 0.45) if point.who == 'ours' else 'none'
    name = f'point|{point.who}|{point.text}'
    size = 4 / pi * area  # matplotlib's is the square of the diameter
    axes.scatter(x, point.top1, size, facecolors=[face], edgecolors=[colour], linewidths=1.4, gid=name, zorder=3)


def _line(
    axes: Any, plot: Plot, point: _Point, x: Sequence[float], y: Sequence[float], name: str | None = None
) -> None:
    """Dashed for the paper's numbers, solid for ours."""
    axes.plot(x, y, color=_colour(plot, point.row.method), ls=LINES[point.who], lw=1, alpha=0.7, gid=name)


def _label(axes: Any, plot: Plot, text: str, places: Iterable[tuple[float, float, str, str]], taken: list[Any]) -> None:
    """Writes a text that begins with a method at the first of the places (x, y, alignments) where it covers nothing."""
    style: Any = dict(
        xycoords='figure pixels', color=_colour(plot, text.split('\n')[0]), fontweight='bold', linespacing=1.4
    )
    for x, y, horizontal, vertical in places:
        note = axes.annotate(text, (x, y), ha=horizontal, va=vertical, **style)
        box = note.get_window_extent()
        if not any(map(box.overlaps, taken)):
            taken.append(box)
            return
        note.remove()


def _draw_operations(drawing: Any, plot: Plot, points: Sequence[_Point]) -> None:
    """Top-1 accuracy against FLOPs, the circles' areas by parameters, a line for each method."""
    from matplotlib.transforms import Bbox

    axes = drawing.subplots()
    axes.set(title='Top-1 (%)', xlabel='FLOPs (G)', xmargin=0.2, ymargin=0.15)
    series: dict[tuple[str, str], list[_Point]] = {}
    for p in points:
        _circle(axes, plot, p, p.flops, AREA * p.parameters)
        series.setdefault((p.row.method, p.who), []).append(p)
    for members in series.values():
        _line(axes, plot, members[0], [p.flops for p in members], [p.top1 for p in members])
    axes.autoscale_view()
    centres = {p: axes.transData.transform((p.flops, p.top1)) for p in points}
    radii = {p: sqrt(AREA * p.parameters / pi) for p in points}
    taken = [Bbox([centres[p] - radii[p], centres[p] + radii[p]]) for p in points]
    for (method, who), members in series.items():
        around = [(*centres[p], radii[p] + 3) for p in reversed(members) if who == 'paper']
        places = [(x + r, y, 'left', 'center') for x, y, r in around]
        places += [(x, y + r, 'center', 'bottom') for x, y, r in around]
        places += [(x, y - r, 'center', 'top') for x, y, r in around]
        _label(axes, plot, method, places, taken)
    _legend(drawing, {'25 M': 25, '50 M parameters': 50})


def _draw_sizes(drawing: Any, plot: Plot, points: Sequence[_Point]) -> None:
    """Top-1 accuracy against k, a panel for each group; what has no fixed k is a line, with its numbers."""
    panels = [(group, list(members)) for group, members in groupby(points, key=lambda p: p.row.group)]
    drawing.subplots_adjust(right=0.74, hspace=0.32)
    column = drawing.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    column[-1].set_xlabel('kernel size k')
    for axes, (group, members) in zip(column, panels, strict=True):
        axes.set(title=f'{group}, Top-1 (%)', xlim=(2, 10), xticks=(3, 5, 7, 9), ymargin=0.15)
        lines = []
        for p in members:
            size = re.search(r'k=(\d+)', p.row.method)
            if size:
                _circle(axes, plot, p, int(size[1]), 64)
            else:
                _line(axes, plot, p, (2, 10), (p.top1, p.top1), f'line|{p.who}|{p.text}')
                lines.append(p)
        axes.autoscale_view()
        taken: list[Any] = []
        for p in (p for p in lines if p.who == 'paper'):
            ours = ''.join(f'\nours {q.top1:.2f}' for q in lines if q.row is p.row and q.who == 'ours')
            x, y = axes.transData.transform((10, p.top1))
            places = [(x + 6, y + shift, 'left', 'center') for shift in (0, 12, -12, 24, -24, 36, -36)]
            _label(axes, plot, f'{p.row.method}\n{p.top1:.2f}{ours}', places, taken)
    _legend(drawing, {})


def _legend(drawing: Any, millions: dict[str, float]) -> None:
    """What lines and circles are whose, and how large circles are."""
    from matplotlib.lines import Line2D

    soft = COLOURS['soft']
    circle: Any = dict(marker='o', color=soft, markerfacecolor='none', lw=1)
    handles = [Line2D([], [], **circle, ls=LINES['paper'], label='paper')]
    handles += [Line2D([], [], **{**circle, 'markerfacecolor': (soft, 0.45)}, ls=LINES['ours'], label='ours')]
    handles += [Line2D([], [], **circle, ls='', ms=2 * sqrt(AREA * n / pi), label=text) for text, n in millions.items()]
    drawing.legend(handles=handles, loc='lower left', ncols=4, labelcolor=soft, handlelength=3, columnspacing=1.5)
