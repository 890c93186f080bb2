"""The report as one page that works from a file, without network: the template page.html with page.css and page.js."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eca_mm.paper.cells import Cell, Status, number
from eca_mm.paper.report.figures import figures
from eca_mm.paper.report.sheets import PLACEHOLDERS, SIGNS, differences, sheets, summary

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
        cells: From :func:`eca_mm.paper.reproduce.reproduce`.
        environment: What the numbers were measured with, such as versions and the processor.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = sheets(cells)
    return templates.get_template('page.html').render(
        sheets=found,
        papers=list(dict.fromkeys(sheet.table.paper for sheet in found)),
        figures=list(figures(found)),
        summary=summary(cells),
        meaning=MEANING,
        signs=SIGNS,
        number=number,
        placeholders=PLACEHOLDERS,
        differences=differences(cells),
        environment=environment,
    )
