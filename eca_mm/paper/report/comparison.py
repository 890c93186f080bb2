"""A comparison, rendered: for the terminal, as CSV, as a figure and as a page."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eca_mm.analysis.figure import BLACK, figure_of, save_figure, styled
from eca_mm.output import write_atomically
from eca_mm.paper.comparison import Result, Summary, summarise
from eca_mm.paper.report.page import inline_svg, template

HEADINGS = ('', 'parameters', 'top-1 in %', 'difference', '95 % interval', 'p', 'ms a step', 'ratio')
REMARK = (
    'Mean and standard deviation of the top-1 accuracy over the seeds. Difference to the first row: its mean over the seeds, '
    '95 % confidence interval and p of the paired, two-sided t-test, not corrected for the number of rows. Milliseconds of a '
    'training step: medians of the log, data included, and the ratio to the first row: of runs one after another, so '
    'tools/benchmark.py measures better.'
)


@styled
def write_comparison(
    results: Sequence[Result], folder: Path, title: str, environment: Mapping[str, str]
) -> tuple[str, list[Path]]:
    """Writes ``runs.csv``, ``accuracy.svg``, ``accuracy.npz`` and ``index.html``, over what is there.

    Returns:
        The table for the terminal, and the paths.

    Raises:
        UserError: If the folder cannot be written to.
    """
    found = summarise(results)
    rows, figure = [list(_texts(s)) for s in found], _draw(results)
    drawn = save_figure(figure, folder / 'accuracy.svg', _numbers(results))
    page = template('comparison.html').render(
        title=title,
        seeds=list(results[0].accuracies),
        headings=HEADINGS,
        rows=rows,
        remark=REMARK,
        svg=inline_svg(figure, 'accuracy', 'The top-1 accuracy of each layer, by seed and on average'),
        environment=environment,
    )
    files = [write_atomically(folder / 'runs.csv', _csv(results)), *drawn]
    return _table(rows), [*files, write_atomically(folder / 'index.html', page + '\n')]


def _texts(s: Summary) -> Iterator[str]:
    yield s.name
    yield f'{s.parameters:,}'
    yield f'{s.mean:.2f}' + ('' if s.std is None else f' ± {s.std:.2f}')
    yield '' if s.difference is None else f'{s.difference:+.2f}'
    if s.difference is None or s.interval is None:
        yield ''
    else:
        yield f'{s.difference - s.interval:+.2f} to {s.difference + s.interval:+.2f}'
    yield '' if s.p is None else f'{s.p:.3f}'
    yield f'{1000 * s.seconds:.0f}'
    yield f'{s.slower:.2f}'


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    lines = ([text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))]
             for row in (HEADINGS, *rows))  # fmt: skip
    return '\n'.join('  '.join(line).rstrip() for line in lines)


def _csv(results: Sequence[Result]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(('name', 'parameters', 'seed', 'top1', 'seconds_per_step'))
    for r in results:
        writer.writerows((r.name, r.parameters, seed, r.accuracies[seed], r.seconds[seed]) for seed in r.accuracies)
    return out.getvalue()


def _numbers(results: Sequence[Result]) -> dict[str, Any]:
    return {f'{r.name}/{kind}': list(values) for r in results for kind, values in (
        ('seed', r.accuracies), ('top1', r.accuracies.values()))}  # fmt: skip


def _draw(results: Sequence[Result]) -> Any:
    """Every run a point, the seeds joined by a line, the means as bars."""
    figure, axes = figure_of(1, 1, 1 + 1.1 * len(results), 3.2)
    panel = axes[0, 0]
    for seed in results[0].accuracies:
        panel.plot([r.accuracies[seed] for r in results], marker='o', ms=4, lw=0.5, alpha=0.6, label=f'seed {seed}')
    for i, r in enumerate(results):
        mean = sum(r.accuracies.values()) / len(r.accuracies)
        panel.plot((i - 0.25, i + 0.25), (mean, mean), color=BLACK, lw=1.6)
        panel.annotate(f'{mean:.2f}', (i + 0.27, mean), va='center', color=BLACK)
    panel.set_xticks(range(len(results)), [r.name for r in results])
    panel.set(xlim=(-0.4, len(results) - 0.3))
    panel.set_title('Top-1 accuracy in %, a point for each seed; bars: means', loc='left')
    figure.legend(loc='outside right center', frameon=False)
    return figure
