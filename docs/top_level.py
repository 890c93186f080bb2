"""Hooks of mkdocs: pages that are files of the repository's top, with links that start here; docstrings without roles."""

import re
from pathlib import Path
from typing import Any

TOP = {'index.md': 'README.md', 'changelog.md': 'CHANGELOG.md', 'contributing.md': 'CONTRIBUTING.md'}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_path not in TOP:
        return markdown
    text = Path(__file__).parents[1].joinpath(TOP[page.file.src_path]).read_text()
    for here, there in TOP.items():
        text = text.replace(f'({there})', f'({here})')
    return text.replace('](docs/', '](')


def on_page_content(html: str, **_: Any) -> str:
    return re.sub(r':(?:class|data|func|meth|mod):(?=<code>)', '', html)
