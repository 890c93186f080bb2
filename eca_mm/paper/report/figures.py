"""Figures 1 and 4 of the paper as inline SVG; their colours are in page.css."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, sqrt

from eca_mm.paper.cells import Cell, number
from eca_mm.paper.report.text import Sheet, sheets
from eca_mm.paper.tables import Row

WIDTH, HEIGHT = 360, 350
LEFT = 38  # of the plots, beside the numbers of the vertical axis
AREA = 4.0  # square units of a circle for a million parameters
# Where a method's name stands, from the centre of its last circle.
LABELS = {
    'ResNet': (13, 4, 'start'),
    'SENet': (13, 4, 'start'),
    'CBAM': (0, 21, 'start'),
    'A2-Nets': (8, 20, 'end'),
    'GSoP-Net1': (0, -11, 'middle'),
    'AA-Net': (0, -14, 'middle'),
    'ECA-Net': (13, 4, 'start'),
}


@dataclass(frozen=True)
class Figure:
    """A drawing and what is to be said below it."""

    svg: str
    caption: str


_Values = tuple[Row, Mapping[str, float | None]]  # the paper's and ours


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to places in the drawing."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """At most eight round values.

        >>> Axis(74.9, 77.2, 0, 100).ticks
        [75.0, 75.5, 76.0, 76.5, 77.0]
        """
        step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if (self.high - self.low) / s <= 7)
        return [round(i * step, 1) for i in range(ceil(self.low / step), floor(self.high / step) + 1)]


def figures(cells: Sequence[Cell]) -> Iterator[Figure]:
    """The figures for which there are numbers among the cells."""
    for sheet in sheets(cells):
        if sheet.table.name == 'table2' and {'Param.', 'FLOPs', 'Top-1'} <= {*sheet.columns}:
            yield figure1(sheet)
        if sheet.table.name == 'figure4' and 'Top-1' in sheet.columns:
            yield figure4(sheet)


@dataclass(frozen=True)
class _Point:
    method: str
    who: str  # 'paper' or 'ours'
    flops: float
    accuracy: float
    parameters: float
    text: str


def figure1(sheet: Sheet) -> Figure:
    """Top-1 accuracy against FLOPs, the circles' areas by parameters, for the ResNets of Table 2."""
    points = list(_points(sheet))
    x = Axis(min(p.flops for p in points) - 0.9, max(p.flops for p in points) + 1.9, LEFT, WIDTH - 4)
    y = _vertical((p.accuracy for p in points), 24, 268)
    series: dict[tuple[str, str], list[_Point]] = {}
    for p in points:
        series.setdefault((p.method, p.who), []).append(p)
    parts = [*_frame(x, y, 'Top-1 (%)', 'FLOPs (G)')]
    for (method, who), members in series.items():
        kind = f'{_slug(method)} {who}'
        line = ' '.join(f'{x.at(p.flops):.1f},{y.at(p.accuracy):.1f}' for p in members)
        parts.append(f'<polyline class="{kind}" points="{line}"/>')
        parts += (_circle(kind, x.at(p.flops), y.at(p.accuracy), _radius(p.parameters), p.text) for p in members)
    for method, (dx, dy, anchor) in LABELS.items():
        last = series[method, 'paper'][-1]
        place = f'x="{x.at(last.flops) + dx:.1f}" y="{y.at(last.accuracy) + dy:.1f}"'
        parts.append(f'<text class="{_slug(method)} name" {place} text-anchor="{anchor}">{method}</text>')
    parts += [*_key(328), *_areas(328)]
    caption = (
        'Figure 1. Top-1 accuracy on ImageNet against FLOPs; the area of a circle is proportional to the number of '
        "parameters, and a line joins the depths of one method. (In the paper's figure the sizes are the FLOPs.) "
        'MobileNetV2, with less than a tenth of the FLOPs, is left out. '
        f'{_ours(any(p.who == "ours" for p in points))}'
    )
    return _figure('figure1', 'Accuracy against FLOPs and parameters', parts, caption)


def _points(sheet: Sheet) -> Iterator[_Point]:
    for group, rows in sheet.groups:
        for row in rows if group.startswith('ResNet') else ():
            cells = [sheet.cells[row.config, column] for column in ('FLOPs', 'Top-1', 'Param.')]
            for who in ('paper', 'ours') if _shown(cells[1]) else ('paper',):
                texts = [getattr(cell, who) for cell in cells]
                flops, top1, parameters = map(number, texts)
                if flops is not None and top1 is not None and parameters is not None:
                    text = f'{row.method}, {group}, {who}: {texts[1]} % with {texts[0]} FLOPs, {texts[2]} parameters'
                    yield _Point(row.method, who, flops, top1, parameters, text)


def figure4(sheet: Sheet) -> Figure:
    """Top-1 accuracy against the kernel size, one panel for each backbone."""
    parts: list[str] = []
    shown: dict[str, list[_Values]] = {}
    for group, rows in sheet.groups:
        cells = ((row, sheet.cells[row.config, 'Top-1']) for row in rows)
        shown[group] = [
            (row, {'paper': number(cell.paper), 'ours': number(cell.ours) if _shown(cell) else None})
            for row, cell in cells
        ]
    for place, (group, values) in enumerate(shown.items()):
        parts += _panel(group, 24 + 152 * place, values)
    measured = any(value['ours'] is not None for values in shown.values() for _, value in values)
    parts += _key(338)
    caption = (
        'Figure 4. Top-1 accuracy on ImageNet against the kernel size k, the same in all blocks; lines: SENet, and ECA with '
        f'the adaptive k. {sheet.table.remark} {_ours(measured)}'
    )
    return _figure('figure4', 'Accuracy against the kernel size k', parts, caption)


def _panel(group: str, top: float, values: Sequence[_Values]) -> Iterator[str]:
    x = Axis(2, 10, LEFT, WIDTH - 92)
    y = _vertical((v for _, of_row in values for v in of_row.values() if v is not None), top, top + 104)
    bottom = 'kernel size k' if top > 100 else ''
    yield from _frame(x, y, f'{group}, Top-1 (%)', bottom, (3, 5, 7, 9))
    for row, of_row in values:
        size = re.search(r'k=(\d+)', row.method)
        name = 'SENet' if row.method == 'SENet' else 'ECA-Net'
        for who, value in of_row.items():
            if value is None:
                continue
            if size:
                text = f'{row.method}, {group}, {who}: {value} %'
                yield _circle(f'{_slug(name)} {who}', x.at(int(size[1])), y.at(value), 4.5, text)
            else:
                yield f'<path class="{_slug(name)} {who}" d="M{x.start} {y.at(value):.1f}H{x.end}"/>'
        paper, ours = of_row['paper'], of_row['ours']
        if not size and paper is not None:
            lines = [f'{paper:.2f}', *([] if ours is None else [f'ours {ours:.2f}'])]
            above = 3 - 12 * len(lines) if name == 'ECA-Net' else 5  # so that the two labels keep clear of each other
            place = f'x="{x.end + 6}" y="{y.at(paper) + above:.1f}"'
            numbers = ''.join(f'<tspan class="value" x="{x.end + 6}" dy="12">{line}</tspan>' for line in lines)
            yield f'<text class="{_slug(name)} name" {place}>{escape(row.method)}{numbers}</text>'


def _shown(top1: Cell) -> bool:
    """Whether ours is drawn: measured on the paper's data, as far as a cell can say it without a number of the paper's."""
    return top1.ours is not None and top1.status != 'not comparable'


def _ours(measured: bool) -> str:
    return 'Ours are drawn where they are measured.' if measured else 'None of our accuracies is measured yet.'


def _slug(method: str) -> str:
    return re.sub(r'[^a-z0-9]', '', method.lower())


def _radius(parameters: float) -> float:
    return sqrt(AREA * parameters / 3.1416)


def _circle(kind: str, x: float, y: float, radius: float, text: str) -> str:
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.2f}"'
    return f'<circle class="point {kind}" {place}><title>{escape(text)}</title></circle>'


def _vertical(values: Iterable[float], top: float, bottom: float) -> Axis:
    found = sorted(values)
    margin = max(0.12 * (found[-1] - found[0]), 0.2)
    return Axis(found[0] - margin, found[-1] + margin, bottom, top)


def _frame(x: Axis, y: Axis, y_name: str, x_name: str, x_ticks: Sequence[float] = ()) -> Iterator[str]:
    """Grid lines, ticks and names of the axes; the vertical one's stands level above it."""
    yield f'<text class="axis" x="{LEFT - 28}" y="{y.end - 10}">{escape(y_name)}</text>'
    for value in y.ticks:
        yield f'<path class="grid" d="M{x.start} {y.at(value):.1f}H{x.end}"/>'
        yield f'<text class="tick" x="{x.start - 6}" y="{y.at(value) + 3.5:.1f}" text-anchor="end">{value:g}</text>'
    for value in x_ticks or x.ticks:
        yield f'<path class="grid" d="M{x.at(value):.1f} {y.start}v4"/>'
        yield f'<text class="tick" x="{x.at(value):.1f}" y="{y.start + 16}" text-anchor="middle">{value:g}</text>'
    yield f'<path class="base" d="M{x.start} {y.start}H{x.end}"/>'
    yield f'<text class="axis" x="{x.end}" y="{y.start + 32}" text-anchor="end">{escape(x_name)}</text>'


def _key(y: float) -> Iterator[str]:
    for x, who in ((LEFT + 4, 'paper'), (LEFT + 76, 'ours')):
        yield f'<path class="{who}" d="M{x - 14} {y}h28"/><circle class="key {who}" cx="{x}" cy="{y}" r="5"/>'
        yield f'<text class="tick" x="{x + 19}" y="{y + 4}">{who}</text>'


def _areas(y: float) -> Iterator[str]:
    for x, millions in ((LEFT + 150, 25), (LEFT + 215, 50)):
        yield f'<circle class="key paper" cx="{x}" cy="{y}" r="{_radius(millions):.1f}"/>'
        yield f'<text class="tick" x="{x + 13}" y="{y + 4}">{millions} M{" parameters" if millions == 50 else ""}</text>'


def _figure(name: str, title: str, parts: Iterable[str], caption: str) -> Figure:
    body = '\n'.join(parts)
    svg = (
        f'<svg id="{name}-plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n{body}\n</svg>'
    )
    return Figure(svg, caption)
