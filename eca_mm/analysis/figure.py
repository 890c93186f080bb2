"""Figures of matplotlib in one style, and their files."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from eca_mm.errors import UserError
from eca_mm.output import check_output, write_atomically

FORMATS = ('.png', '.svg', '.pdf')
BLACK = '#1f1f1d'
STYLE: Any = {
    'font.size': 8,
    'axes.titlesize': 8,
    'svg.fonttype': 'none',
    'axes.spines.top': False,
    'axes.spines.right': False,
    **dict.fromkeys(('text.color', 'axes.labelcolor', 'axes.edgecolor', 'xtick.color', 'ytick.color'), BLACK),
}
styled = mpl.rc_context(STYLE)  # has a function draw in it


def check_figure(file: str | Path, *, force: bool = False) -> Path:
    """Makes sure that a figure, and its numbers beside it, may be written.

    Raises:
        ExistingFileError: If one of them exists, without ``force``.
        UserError: If its suffix is not one of :data:`FORMATS`, or it cannot be written.
    """
    if Path(file).suffix.lower() not in FORMATS:
        raise UserError(f'{file} must end in one of {", ".join(FORMATS)}')
    check_output(Path(file).with_suffix('.npz'), force=force)
    return check_output(file, force=force)


def save_figure(figure: Any, file: Path, numbers: Mapping[str, Any]) -> list[Path]:
    """Writes a figure, and as .npz beside it the numbers that it shows; returns both paths."""
    picture, arrays = io.BytesIO(), io.BytesIO()
    suffix = file.suffix.lower().strip('.')
    with mpl.rc_context({**STYLE, 'svg.hashsalt': file.name}):
        metadata = {'svg': {'Date': None}, 'pdf': {'CreationDate': None}}.get(suffix)
        figure.savefig(picture, format=suffix, dpi=150, metadata=metadata)
    np.savez_compressed(arrays, **numbers)
    return [write_atomically(file, picture.getvalue()), write_atomically(file.with_suffix('.npz'), arrays.getvalue())]


def figure_of(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure and its panels (rows, columns), each of this size in inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout='constrained')
    return figure, figure.subplots(rows, columns, squeeze=False)
