"""Plots of tables as inline SVG, drawn by matplotlib; their colours are the variables of page.css, light and dark."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from math import pi, sqrt
from pathlib import Path
from typing import Any

from eca_mm.paper.cells import number
from eca_mm.paper.report.sheets import Sheet
from eca_mm.paper.table import Plot, Row

WIDTH, HEIGHT = 360, 350  # in points of 1/72 inch, which are the SVG's units
AREA = 4.0  # square points of a circle for a million parameters
# Stand for variables of page.css, which matplotlib does not take.
NAMES = ('ink', 'soft', 'rule', 'grey', 'blue', 'green', 'violet', 'ochre', 'teal', 'red')
COLOURS = {name: f'#fe{i:02x}fe' for i, name in enumerate(NAMES)}
STYLE = Path(__file__).with_name('page.mplstyle')
LINES = {'paper': (0, (4, 3)), 'ours': 'solid'}


@dataclass(frozen=True, eq=False)
class _Point:
    """A row in the paper's numbers ('paper') or in ours ('ours'); ``text`` says it all."""

    row: Row
    who: str
    text: str
    top1: float
    flops: float = 0.0
    parameters: float = 0.0


def figures(sheets: Iterable[Sheet]) -> Iterator[tuple[str, str]]:
    """SVG and caption for each table that has a plot, and its columns."""
    kinds = {'operations': (_draw_operations, ('Top-1', 'FLOPs', 'Param.')), 'kernel_size': (_draw_sizes, ('Top-1',))}
    for sheet in sheets:
        if (plot := sheet.table.plot) is not None:
            draw, columns = kinds[plot.kind]
            points = list(_points(sheet, plot, columns)) if {*columns} <= {*sheet.columns} else []
            if points:
                caption = f'{plot.caption} Ours are drawn where they are measured.'
                yield _svg(f'{sheet.table.name}-plot', plot, draw, points), caption


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


def _svg(name: str, plot: Plot, draw: Any, points: Sequence[_Point]) -> str:
    """The drawing for a page: no prolog, sizes and fonts of its own; groups named ``kind|who|text`` get classes and a title."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    file = io.StringIO()
    with mpl.rc_context({'svg.hashsalt': name}, STYLE):
        drawing = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
        draw(drawing, plot, points)
        drawing.savefig(
            file, format='svg', transparent=True, metadata=dict.fromkeys(('Date', 'Creator', 'Format', 'Type'))
        )
    body = file.getvalue()
    body = re.sub(
        r'<g id="(\w+)\|(\w+)\|([^"]*)">', r'<g class="\1 \2"><title>\3</title>', body[body.index('<g id=') :]
    )
    body = re.sub(r'<g id="[^"]*">', '<g>', body)
    body = re.sub(r""" clip-path="[^"]*"| font-family: 'DejaVu Sans';""", '', body)  # nothing is outside the axes
    for colour, variable in COLOURS.items():
        body = body.replace(variable, f'var(--{colour})')
    return (
        f'<svg id="{name}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title">\n'
        f'<title id="{name}-title">{escape(plot.title)}</title>\n{body}'
    )


def _colour(plot: Plot, method: str) -> str:
    return COLOURS[plot.colours.get(method) or plot.colours.get(method.split()[0], 'grey')]


def _circle(axes: Any, plot: Plot, point: _Point, x: float, area: float) -> None:
    """Hollow for the paper's number, filled for ours."""
    colour = _colour(plot, point.row.method)
    face = (colour, 0.45) if point.who == 'ours' else 'none'
    size = 4 / pi * area  # matplotlib's is the square of the diameter
    name = f'point|{point.who}|{point.text}'
    axes.scatter(x, point.top1, size, facecolors=[face], edgecolors=[colour], linewidths=1.4, gid=name, zorder=3)


def _draw_operations(drawing: Any, plot: Plot, points: Sequence[_Point]) -> None:
    """Top-1 accuracy against FLOPs, the circles' areas by parameters, a line for each method."""
    axes = drawing.subplots()
    axes.set(title='Top-1 (%)', xlabel='FLOPs (G)', xmargin=0.2, ymargin=0.15)
    series: dict[tuple[str, str], list[_Point]] = {}
    for p in points:
        _circle(axes, plot, p, p.flops, AREA * p.parameters)
        series.setdefault((p.row.method, p.who), []).append(p)
    for (method, who), members in series.items():
        x, y = [p.flops for p in members], [p.top1 for p in members]
        axes.plot(x, y, color=_colour(plot, method), ls=LINES[who], lw=1, alpha=0.7)
    _legend(drawing, {method: _colour(plot, method) for method, _ in series}, {'50 M parameters': 50})


def _draw_sizes(drawing: Any, plot: Plot, points: Sequence[_Point]) -> None:
    """Top-1 accuracy against k, a panel for each group; what has no fixed k is a line, with its numbers."""
    panels = [(group, list(members)) for group, members in groupby(points, key=lambda p: p.row.group)]
    drawing.subplots_adjust(right=0.74, hspace=0.32)
    column = drawing.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    column[-1].set_xlabel('kernel size k')
    for axes, (group, members) in zip(column, panels, strict=True):
        axes.set(title=f'{group}, Top-1 (%)', xlim=(2, 10), xticks=(3, 5, 7, 9), ymargin=0.15)
        lines: dict[str, list[_Point]] = {}
        for p in members:
            if size := re.search(r'k=(\d+)', p.row.method):
                _circle(axes, plot, p, int(size[1]), 64)
            else:
                lines.setdefault(p.row.method, []).append(p)
        highest = max(lines, key=lambda method: lines[method][0].top1, default='')
        for method, (paper, *ours) in lines.items():
            colour = _colour(plot, method)
            for p in (paper, *ours):
                name = f'line|{p.who}|{p.text}'
                axes.plot((2, 10), (p.top1, p.top1), color=colour, ls=LINES[p.who], lw=1, alpha=0.7, gid=name)
            text = '\n'.join((method, f'{paper.top1:.2f}', *(f'ours {p.top1:.2f}' for p in ours)))
            style: Any = dict(
                color=colour, fontweight='bold', linespacing=1.4, xytext=(6, 0), textcoords='offset points'
            )
            axes.annotate(text, (10, paper.top1), va='bottom' if method == highest else 'top', **style)  # apart
    _legend(drawing)


def _legend(drawing: Any, methods: Mapping[str, str] = {}, millions: Mapping[str, float] = {}) -> None:
    """Which colour is which method, what lines and circles are whose, and how large circles are."""
    from matplotlib.lines import Line2D

    circle: Any = dict(marker='o', color=(soft := COLOURS['soft']), markerfacecolor='none', lw=1)
    handles = [Line2D([], [], marker='o', color=colour, ls='', label=name) for name, colour in methods.items()]
    handles += [Line2D([], [], **circle, ls=LINES['paper'], label='paper')]
    handles += [Line2D([], [], **{**circle, 'markerfacecolor': (soft, 0.45)}, ls=LINES['ours'], label='ours')]
    handles += [Line2D([], [], **circle, ls='', ms=2 * sqrt(AREA * n / pi), label=text) for text, n in millions.items()]
    drawing.legend(
        handles=handles,
        loc='lower left',
        ncols=4,
        labelcolor=[h.get_color() for h in handles],
        handlelength=3,
        columnspacing=1.5,
    )
