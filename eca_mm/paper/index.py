"""OpenMMLab's model index and the documentation's page of results, generated: no number is typed twice."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from eca_mm.engine import load_config
from eca_mm.engine.metrics import BENCHMARKS
from eca_mm.engine.model_index import index_names, model_entry, task_results
from eca_mm.paper.accuracy import AUTHORS
from eca_mm.paper.cells import Cell
from eca_mm.paper.report import render_markdown
from eca_mm.paper.table import Row, Table
from eca_mm.paper.tables import TABLES
from eca_mm.paths import REPOSITORY

INDEX = 'eca_mm/.mim/model-index.yml'
RESULTS = 'docs/results.md'
_INTRODUCTION = '<!-- Written by tools/reproduce.py all --write-index -->\n'
_HEADER = '# Written by `tools/reproduce.py all --write-index`. FLOPs are multiply-adds, as usual in OpenMMLab.\n'

_Cells = Mapping[tuple[str, str, str], Cell]  # by table, row and column


def index_files(cells: Sequence[Cell]) -> dict[Path, str]:
    """The files of the index and the page of results, by path in the repository, as they should be.

    A model's results are those measured on the paper's dataset; the paper's own numbers stand apart, under 'Printed in
    the paper'.

    Args:
        cells: All tables, with complexity: of ``reproduce`` with :func:`eca_mm.paper.reproduce.measurers_without_data`.
    """
    by_place = {(c.table.name, c.row, c.column): c for c in cells}
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
    texts[REPOSITORY / RESULTS] = f'{_INTRODUCTION}{render_markdown(cells)}\n'
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


def _is_ours(cell: Cell) -> bool:
    """Measured on the paper's data with weights of this package's training; the authors' weights prove the code only."""
    return cell.status in ('match', 'differ') and AUTHORS not in cell.note
