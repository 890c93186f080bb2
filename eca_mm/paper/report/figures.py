"""Plots of tables, drawn by matplotlib: figures, and inline SVG whose colours are the variables of page.css, light and dark."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import pi, sqrt
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eca_mm.paper.cells import Cell, number
from eca_mm.paper.report.page import COLOURS, inline_svg
from eca_mm.paper.report.sheets import Sheet, sheets
from eca_mm.paper.table import Plot, Row

WIDTH, HEIGHT = 360, 350  # in points of 1/72 inch
AREA = 4.0  # square points of a circle for a million parameters
STYLE: Any = [
    Path(__file__).with_name('page.mplstyle'),
    dict.fromkeys(('axes.titlecolor', 'axes.labelcolor'), COLOURS['ink'])
    | dict.fromkeys(('axes.edgecolor', 'xtick.color', 'ytick.color'), COLOURS['soft'])
    | {'grid.color': COLOURS['rule']},
]
styled = style.context(STYLE)  # has a function draw in it
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


def figures(found: Iterable[Sheet]) -> Iterator[tuple[str, str]]:
    """SVG and caption for each table that has a plot, and its columns."""
    for sheet in found:
        if (plot := sheet.table.plot) is not None and (points := _points_of(sheet)):
            caption = f'{plot.caption} Ours are drawn where they are measured.'
            yield _svg(f'{sheet.table.name}-plot', plot, points), caption


@styled
def draw_table(cells: Iterable[Cell]) -> tuple[Any, dict[str, Any]]:
    """The plot of one table as a figure of matplotlib, and the numbers in it, point by point.

    Args:
        cells: Of a table that has a plot.
    """
    (sheet,) = sheets(cells)
    assert sheet.table.plot is not None
    points = _points_of(sheet)
    figure = _draw(sheet.table.plot, points)
    values = [(p.row.config, p.row.method, p.who, p.top1, p.flops, p.parameters) for p in points]
    names = ('config', 'method', 'who', 'top1', 'flops', 'parameters')
    return figure, dict(zip(names, map(list, zip(*values, strict=True)), strict=True))


def _points_of(sheet: Sheet) -> list[_Point]:
    """What the table's plot shows; nothing if the sheet lacks its columns."""
    assert sheet.table.plot is not None
    columns = PLOTS[sheet.table.plot.kind][1]
    return list(_points(sheet, sheet.table.plot, columns)) if {*columns} <= {*sheet.columns} else []


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


def _draw(plot: Plot, points: Sequence[_Point]) -> Any:
    drawing = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
    PLOTS[plot.kind][0](drawing, plot, points)
    return drawing


@styled
def _svg(name: str, plot: Plot, points: Sequence[_Point]) -> str:
    return inline_svg(_draw(plot, points), name, plot.title)


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


# What draws each kind, and the columns that it needs.
PLOTS = {'operations': (_draw_operations, ('Top-1', 'FLOPs', 'Param.')), 'kernel_size': (_draw_sizes, ('Top-1',))}
