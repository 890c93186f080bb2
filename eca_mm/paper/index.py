"""OpenMMLab's model index and the README's table of results, generated: no number is typed twice."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from eca_mm.engine import load_config
from eca_mm.engine.metrics import BENCHMARKS
from eca_mm.engine.model_index import index_names, model_entry, task_results
from eca_mm.errors import MissingFileError, UserError
from eca_mm.paper.accuracy import AUTHORS
from eca_mm.paper.cells import Cell
from eca_mm.paper.complexity import ALL_COUNTED
from eca_mm.paper.table import COMPLEXITY, Row, Table
from eca_mm.paper.tables import TABLES
from eca_mm.paths import REPOSITORY

INDEX = 'eca_mm/.mim/model-index.yml'
MARKS = ('<!-- results: written by tools/reproduce.py all --write-index -->', '<!-- end of results -->')
_HEADER = '# Written by `tools/reproduce.py all --write-index`. FLOPs are multiply-adds, as usual in OpenMMLab.\n'

_Cells = Mapping[tuple[str, str, str], Cell]  # by table, row and column


def index_files(cells: Iterable[Cell]) -> dict[Path, str]:
    """The files of the index and the README, by path in the repository, as they should be.

    A model's results are those measured on the paper's dataset; the paper's own numbers stand apart, under 'Printed in
    the paper'.

    Args:
        cells: All tables, with complexity: of ``reproduce`` with :func:`eca_mm.paper.reproduce.measurers_without_data`.

    Raises:
        MissingFileError: If the package is not in a checkout.
        UserError: If tables or columns are missing, or the README lacks the marks between which its table stands.
    """
    readme = REPOSITORY / 'README.md'
    by_place = {(c.table.name, c.row, c.column): c for c in cells}
    needed = {
        (t.name, c) for t in TABLES.values() for c in (*t.columns, *(ALL_COUNTED if t.metafile and t.count else ()))
    }
    if not needed <= {(table, column) for table, _, column in by_place}:
        raise UserError('the index needs all tables with their complexity: tools/reproduce.py all, without --only')
    if not readme.is_file():
        raise MissingFileError(f'the index is written in a checkout of the repository, and {readme} does not exist')
    texts, listed, files = {}, set(), _tables_by_metafile()
    for file, tables in files.items():
        collections = [
            {
                'Name': paper.name,
                'Metadata': {'Architecture': list(paper.architectures)},
                'Paper': {'Title': paper.title, 'URL': paper.url},
            }
            for paper in dict.fromkeys(t.paper for t in tables)
            if paper.name not in listed
        ]
        listed |= {collection['Name'] for collection in collections}
        models = [_model(row, tables, by_place) for row in _rows(tables)]
        texts[REPOSITORY / file] = _yaml({**({'Collections': collections} if collections else {}), 'Models': models})
    texts[REPOSITORY / INDEX] = _yaml({'Import': list(files)})
    texts[readme] = _readme(readme.read_text(), files.values(), by_place)
    return texts


def _tables_by_metafile() -> dict[str, list[Table]]:
    """Those of a folder stand before those of the folders in it."""
    files = sorted({t.metafile for t in TABLES.values() if t.metafile}, key=lambda file: (file.count('/'), file))
    return {file: [t for t in TABLES.values() if t.metafile == file] for file in files}


def _rows(tables: Iterable[Table]) -> list[Row]:
    """Each config once, in the order of the tables."""
    return list({row.config: row for table in tables for row in table.rows if row.is_implemented}.values())


def _yaml(content: dict[str, Any]) -> str:
    return _HEADER + yaml.safe_dump(content, sort_keys=False, width=120)


def _model(row: Row, tables: Sequence[Table], cells: _Cells) -> dict[str, Any]:
    cfg = load_config(row.file)
    counts = {column: c.raw for (_, config, column), c in cells.items() if config == row.config}
    of_row = [table for table in tables if row.config in (r.config for r in table.rows)]
    printed: dict[str, float] = {}
    results: list[dict[str, Any]] = []
    for table in of_row:
        benchmark = BENCHMARKS[table.benchmark]
        found = {column: cells[table.name, row.config, column] for column in table.columns}
        printed |= {name: float(c.paper or 'nan') for name, c in index_names(benchmark, found).items()}
        results += task_results(benchmark, benchmark.dataset, {k: c.raw for k, c in found.items() if _is_ours(c)})
    return model_entry(
        f'configs/{row.config}.py',
        collection=of_row[0].paper.name,
        training_data=BENCHMARKS[of_row[0].benchmark].dataset,
        epochs=cfg.train_cfg.max_epochs,
        batch_size=cfg.images_per_step,
        parameters=counts['Parameters'],
        flops=counts['GMACs'],
        printed=printed,
        results=results,
    )


def _readme(text: str, groups: Iterable[Sequence[Table]], cells: _Cells) -> str:
    start, end = MARKS
    lines = [line for tables in groups for line in _results_table(tables, cells)]
    new, n = re.subn(f'{start}.*{end}', lambda _: '\n'.join((start, *lines, end)), text, flags=re.DOTALL)
    if not n:
        raise UserError(f'README.md needs {start!r} and {end!r} around its table')
    return new


def _results_table(tables: Sequence[Table], cells: _Cells) -> Iterator[str]:
    """The rows of one metafile: our counts, then the paper's columns of counts and of accuracies beside ours."""
    counts = [(t.name, column, column) for t in tables for column, kind in t.columns.items() if kind == COMPLEXITY]
    metrics = [
        (t.name, column, name)
        for t in tables
        for name, column in index_names(BENCHMARKS[t.benchmark], {c: c for c in t.columns}).items()
    ]
    names = ('config', 'parameters', 'GMACs', *(name for _, _, name in (*counts, *metrics)))
    yield from ('', f'| {" | ".join(names)} |', f'|---|{"--:|" * (len(names) - 1)}')
    for row in _rows(tables):
        own = {column: c.ours for (_, config, column), c in cells.items() if config == row.config}
        places = ((table, row.config, column) for table, column, _ in (*counts, *metrics))
        texts = [*(own[column] or '' for column in ALL_COUNTED), *(_beside(cells.get(place)) for place in places)]
        yield f'| `{row.config}` | {" | ".join(texts)} |'


def _beside(cell: Cell | None) -> str:
    """The printed number and ours: 24.37M =, 36.4 / 36.5, or 36.4 / - without a measurement on the paper's data."""
    if cell is None:
        return ''
    if _is_ours(cell) and cell.ours == cell.paper:
        return f'{cell.paper} ='
    return f'{cell.paper} / {cell.ours if _is_ours(cell) else "-"}'


def _is_ours(cell: Cell) -> bool:
    """Measured on the paper's data with weights of this package's training; the authors' weights prove the code only."""
    return cell.status in ('match', 'differ') and AUTHORS not in cell.note
