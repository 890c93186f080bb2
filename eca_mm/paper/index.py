"""OpenMMLab's model index and the README's table of results, generated: no number is typed twice."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from eca_mm.engine import load_config
from eca_mm.engine.metrics import BENCHMARKS
from eca_mm.errors import MissingFileError, UserError
from eca_mm.paper.accuracy import AUTHORS
from eca_mm.paper.cells import COMPLEXITY, Cell
from eca_mm.paper.complexity import HONEST
from eca_mm.paper.tables import TABLES, Row
from eca_mm.paths import CONFIGS, REPOSITORY

INDEX = 'eca_mm/.mim/model-index.yml'
MARKS = ('<!-- results: written by tools/reproduce.py all --write-index -->', '<!-- end of results -->')
_HEADER = '# Written by `tools/reproduce.py all --write-index`. FLOPs are multiply-adds, as usual in OpenMMLab.\n'
_TABLES = ('table2', 'table4', 'table5')  # the others have rows of these, or numbers that nobody looks up
_COLLECTION = {
    'Name': 'ECA-Net',
    'Metadata': {'Architecture': ['ResNet', 'MobileNetV2', 'Efficient Channel Attention']},
    'Paper': {
        'Title': 'ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks',
        'URL': 'https://arxiv.org/abs/1910.03151',
    },
}


def index_files(cells: Sequence[Cell]) -> dict[Path, str]:
    """The files of the index and the README, by path in the repository, as they should be.

    A model's results are those measured on the paper's dataset; the paper's own numbers stand apart, under 'Printed in
    the paper'.

    Args:
        cells: All tables, with complexity: ``reproduce(select_tables(['all'])).cells``.

    Raises:
        FileNotFoundError: If the package is not in a checkout.
        ValueError: If tables or columns are missing, or the README lacks the marks between which its table stands.
    """
    readme = REPOSITORY / 'README.md'
    if {c.table for c in cells} != set(TABLES) or not any(c.column in HONEST for c in cells):
        raise UserError('the index needs all tables with their complexity: tools/reproduce.py all, without --only')
    if not readme.is_file():
        raise MissingFileError(f'the index is written in a checkout of the repository, and {readme} does not exist')
    classifiers = [row for row in TABLES['table2'].rows if _exists(row)]
    files = {
        'configs/metafile.yml': TABLES['table4'].rows,
        'configs/imagenet/metafile.yml': classifiers,
    }
    collections: dict[str, Any] = {'Collections': [_COLLECTION]}
    texts = {}
    for file, rows in files.items():
        texts[REPOSITORY / file] = _yaml({**collections, 'Models': [_model(row, cells) for row in rows]})
        collections = {}
    texts[REPOSITORY / INDEX] = _yaml({'Import': list(files)})
    texts[readme] = _readme(readme.read_text(), cells, [*TABLES['table4'].rows, *classifiers])
    return texts


def _exists(row: Row) -> bool:
    return (CONFIGS / f'{row.config}.py').is_file()


def _yaml(content: dict[str, Any]) -> str:
    return _HEADER + yaml.safe_dump(content, sort_keys=False, width=120)


def _model(row: Row, cells: Sequence[Cell]) -> dict[str, Any]:
    mine = [c for c in cells if c.row == row.config]
    raw = {c.column: c.raw for c in mine if c.table in ('table2', 'table4')}
    cfg: Config = load_config(CONFIGS / f'{row.config}.py')
    dataset = 'ImageNet-1k' if row.config.startswith('imagenet/') else 'COCO'
    model: dict[str, Any] = {
        'Name': Path(row.config).name,
        'In Collection': 'ECA-Net',
        'Config': f'configs/{row.config}.py',
        'Metadata': {
            'Training Data': dataset,
            'Epochs': cfg.train_cfg.max_epochs,
            'Batch Size': cfg.images_per_step,
            'Parameters': raw['Parameters'],
            'FLOPs': raw['GMACs'],
            'Printed in the paper': {
                name: float(c.paper or 'nan') for table in _TABLES for name, c in _indexed(table, mine).items()
            },
        },
    }
    results = list(_results(mine))
    return {**model, 'Results': results} if results else model


def _indexed(table: str, cells: Iterable[Cell]) -> dict[str, Cell]:
    """The accuracies of one row in a table, by their names in the index."""
    of_table = {c.column: c for c in cells if c.table == table}
    metrics = (m for m in BENCHMARKS[TABLES[table].benchmark].metrics if m.index is not None and m.column in of_table)
    return {str(m.index): of_table[m.column] for m in metrics}


def _results(cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    for table in _TABLES:
        benchmark = BENCHMARKS[TABLES[table].benchmark]
        metrics = {name: c.raw for name, c in _indexed(table, cells).items() if _is_ours(c)}
        if metrics:
            yield {'Task': benchmark.task, 'Dataset': benchmark.dataset, 'Metrics': metrics}


def _readme(text: str, cells: Sequence[Cell], rows: Sequence[Row]) -> str:
    start, end = MARKS
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f'README.md needs {start!r} and {end!r} around its table')
    lines = [
        line
        for table, tables in (('table4', ('table4', 'table5')), ('table2', ('table2',)))
        for line in _results_table([row for row in rows if row in TABLES[table].rows], tables, cells)
    ]
    return '\n'.join((before + start, *lines, end)) + after


def _results_table(rows: Sequence[Row], tables: tuple[str, ...], cells: Sequence[Cell]) -> Iterator[str]:
    metrics = [
        (table, m.column, m.index) for table in tables for m in BENCHMARKS[TABLES[table].benchmark].metrics if m.index
    ]
    counts = [column for column in COMPLEXITY if column in TABLES[tables[0]].columns]
    names = ('config', 'parameters', 'GMACs', *counts, *(name for _, _, name in metrics))
    yield from ('', f'| {" | ".join(names)} |', f'|---|{"--:|" * (len(names) - 1)}')
    for row in rows:
        found = {(c.table, c.column): c for c in cells if c.row == row.config}
        texts = [
            *(found[tables[0], column].ours or '' for column in HONEST),
            *(_beside(found[tables[0], column]) for column in counts),
            *(_beside(found[table, column]) if (table, column) in found else '' for table, column, _ in metrics),
        ]
        yield f'| `{row.config}` | {" | ".join(texts)} |'


def _beside(cell: Cell) -> str:
    """The printed number and ours: 24.37M =, 36.4 / 36.5, or 36.4 / - without a measurement on the paper's data."""
    if _is_ours(cell) and cell.ours == cell.paper:
        return f'{cell.paper} ='
    return f'{cell.paper} / {cell.ours if _is_ours(cell) else "-"}'


def _is_ours(cell: Cell) -> bool:
    """Measured on the paper's data with weights of this package's training; the authors' weights prove the code only."""
    return cell.status in ('match', 'differ') and AUTHORS not in cell.note
