"""OpenMMLab's model index and the documentation's page of results, generated: no number is typed twice."""

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
RESULTS = 'docs/results.md'
_INTRODUCTION = """<!-- Written by tools/reproduce.py all --write-index -->
# Results

The rows of the paper's tables that are in the model index: what the paper prints, and ours. *Parameters* and *GMACs* (10^9
multiply-adds) are all of them; the paper counts otherwise (see [Reproducing the tables](reproducing.md)), and ours beside
its columns are counted as it does. An accuracy of ours is one measured on the paper's dataset after this package's own
training; **—** says that it has not been measured.
"""
_HEADER = '# Written by `tools/reproduce.py all --write-index`. FLOPs are multiply-adds, as usual in OpenMMLab.\n'

_Cells = Mapping[tuple[str, str, str], Cell]  # by table, row and column


def index_files(cells: Iterable[Cell]) -> dict[Path, str]:
    """The files of the index and the page of results, by path in the repository, as they should be.

    A model's results are those measured on the paper's dataset; the paper's own numbers stand apart, under 'Printed in
    the paper'.

    Args:
        cells: All tables, with complexity: of ``reproduce`` with :func:`eca_mm.paper.reproduce.measurers_without_data`.

    Raises:
        MissingFileError: If the package is not in a checkout.
        UserError: If tables or columns are missing.
    """
    page = REPOSITORY / RESULTS
    by_place = {(c.table.name, c.row, c.column): c for c in cells}
    needed = {
        (t.name, c) for t in TABLES.values() for c in (*t.columns, *(ALL_COUNTED if t.metafile and t.count else ()))
    }
    if not needed <= {(table, column) for table, _, column in by_place}:
        raise UserError('the index needs all tables with their complexity: tools/reproduce.py all, without --only')
    if not page.parent.is_dir():
        raise MissingFileError(
            f'the index is written in a checkout of the repository, and {page.parent} does not exist'
        )
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
    texts[page] = '\n'.join(
        (_INTRODUCTION, *(line for of_file in files.values() for line in _results(of_file, by_place)), '')
    )
    return texts


def _tables_by_metafile() -> dict[str, list[Table]]:
    """Those of a folder stand before those of the folders in it."""
    files = sorted({t.metafile for t in TABLES.values() if t.metafile}, key=lambda file: (file.count('/'), file))
    return {file: [t for t in TABLES.values() if t.metafile == file] for file in files}


def _rows(tables: Iterable[Table]) -> list[Row]:
    """Each config once, in the order of the tables."""
    return list({row.config: row for table in tables for row in table.rows}.values())


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


def _results(tables: Sequence[Table], cells: _Cells) -> Iterator[str]:
    """The rows of one metafile: all that is counted, then each of the paper's columns beside ours."""
    counts = [(t.name, column, column) for t in tables for column, kind in t.columns.items() if kind == COMPLEXITY]
    metrics = [
        (t.name, column, name)
        for t in tables
        for name, column in index_names(BENCHMARKS[t.benchmark], {c: c for c in t.columns}).items()
    ]
    yield f'## {" and ".join(dict.fromkeys(BENCHMARKS[t.benchmark].task for t in tables))}\n'
    names = [text for _, _, name in (*counts, *metrics) for text in (f'{name}, paper', 'ours')]
    yield f'| {" | ".join(("config", *ALL_COUNTED, *names))} |'
    yield f'|---|{"--:|" * (len(ALL_COUNTED) + len(names))}'
    for row in _rows(tables):
        own = {column: c.ours for (_, config, column), c in cells.items() if config == row.config}
        texts = [own[column] or '' for column in ALL_COUNTED]
        for table, column, _ in (*counts, *metrics):
            cell = cells.get((table, row.config, column))
            texts += ['', ''] if cell is None else [cell.paper or '', (cell.ours if _is_ours(cell) else None) or '—']
        yield f'| `{row.config}` | {" | ".join(texts)} |'
    yield ''


def _is_ours(cell: Cell) -> bool:
    """Measured on the paper's data with weights of this package's training; the authors' weights prove the code only."""
    return cell.status in ('match', 'differ') and AUTHORS not in cell.note
