"""The templates of the pages, and figures in them."""

import io
import re
from html import escape
from pathlib import Path

import matplotlib as mpl
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
# The light ones of page.css, its first; each has a value of its own, which an SVG for the page has its variable for.
COLOURS = dict(reversed(re.findall(r'--(\w+): (#\w{6});', (FOLDER / 'page.css').read_text())))


def template(name: str) -> Template:
    """A template of this folder; its page works from a file, without network."""
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)


def inline_svg(figure: Figure, name: str, title: str) -> str:
    """A figure as SVG for a page: without background, prolog, size and fonts of its own.

    Colours of page.css become its variables, light and dark; groups named ``kind|who|text`` get classes and a title.

    Args:
        figure: One in which nothing hangs over its axes.
        name: Of the element, and of what is in it: no two of a page may have the same.
        title: What it shows, for those who do not see it.
    """
    file = io.StringIO()
    with mpl.rc_context({'svg.hashsalt': name}):
        metadata = dict.fromkeys(('Date', 'Creator', 'Format', 'Type'))
        figure.savefig(file, format='svg', transparent=True, metadata=metadata)
    body = file.getvalue()
    body = re.sub(
        r'<g id="(\w+)\|(\w+)\|([^"]*)">', r'<g class="\1 \2"><title>\3</title>', body[body.index('<g id=') :]
    )
    body = re.sub(r'<g id="[^"]*">', '<g>', body)
    body = re.sub(r' clip-path="[^"]*"| font-family: [^;]*;', '', body)  # nothing is outside the axes
    for name_of_colour, colour in COLOURS.items():
        body = body.replace(colour, f'var(--{name_of_colour})')
    width, height = 72 * figure.get_size_inches()  # an SVG's units are points of 1/72 inch
    return (
        f'<svg id="{name}" viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{name}-title">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n{body}'
    )
