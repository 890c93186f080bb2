"""The comparison with the paper, rendered: for the terminal, as files, and as a page with the paper's figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from eca_mm.output import write_atomically
from eca_mm.paper.cells import Cell
from eca_mm.paper.report.html import render_html
from eca_mm.paper.report.text import render_csv, render_json, render_markdown, render_text

__all__ = ['render_csv', 'render_html', 'render_json', 'render_markdown', 'render_text', 'write_report']


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
