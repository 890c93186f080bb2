"""Prints the paper's tables beside our numbers, and where ours come from.

tools/reproduce.py all
tools/reproduce.py table1 table2 table4 --only complexity
tools/reproduce.py table4 table5 --work-dirs work_dirs --run --data-root /data/coco
tools/reproduce.py table4 --predictions faster_rcnn_eca_r50_fpn_1x=p.bbox.json --ann-file instances_val2017.json
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from eca_mm.cli.arguments import tool_parser
from eca_mm.cli.flags import name_flags

NEEDED = {'run': 'work_dirs', 'data_root': 'run', 'predictions': 'ann_file', 'ann_file': 'predictions'}
KINDS = {'work_dirs': 'accuracy', 'predictions': 'accuracy', 'speed': 'speed'}


def evaluate_row(config: Path, checkpoint: Path, work_dir: Path, *, data_root: str | None) -> None:
    from eca_mm.engine import evaluate, load_config

    evaluate(load_config(config, data_root=data_root, work_dir=str(work_dir)), str(checkpoint))


def make_parser() -> argparse.ArgumentParser:
    p = tool_parser(__doc__)
    p.add_argument('tables', nargs='+', help='table1 ... table5, figure4, or all')
    p.add_argument('--only', choices=('complexity', 'speed', 'accuracy'), help='these columns alone')
    p.add_argument('--work-dirs', type=Path, help='folder with one work directory per row')
    p.add_argument('--run', action='store_true', help='evaluate rows that have a checkpoint there, but no metrics')
    p.add_argument('--data-root', help='root of the dataset for --run')
    p.add_argument('--predictions', nargs='+', metavar='ROW=FILE', help='score COCO result files')
    p.add_argument('--ann-file', type=Path, help='their COCO annotations')
    p.add_argument(
        '--backend',
        choices=('pycocotools', 'faster-coco-eval'),
        default='pycocotools',
        help='what scores them (%(default)s)',
    )
    p.add_argument(
        '--speed', type=Path, nargs='+', help="tools/benchmark.py's files, instead of those with the package"
    )
    p.add_argument(
        '--tolerance', type=float, default=0.2, help='greatest difference of a match, in points (%(default)s)'
    )
    p.add_argument('--check', action='store_true', help='exit with 1 if a number differs, but for a known reason')
    p.add_argument('--json', type=Path, metavar='FILE', help='write every number there')
    p.add_argument('--report', type=Path, metavar='FOLDER', help='write a report: index.html, Markdown, CSV, JSON')
    p.add_argument('--write-index', action='store_true', help='write the model index and docs/results.md, from `all`')
    return p


def run(a: argparse.Namespace) -> None:
    from eca_mm.errors import UserError
    from eca_mm.output import write_atomically
    from eca_mm.paper.accuracy import measure_predictions, measure_work_dirs
    from eca_mm.paper.index import index_files
    from eca_mm.paper.report import render_json, render_text, write_report
    from eca_mm.paper.reproduce import MEASURED, environment, measurers_without_data, reproduce, select_tables
    from eca_mm.paper.speed import measure_speed
    from eca_mm.paths import REPOSITORY

    for option, other in NEEDED.items():
        if getattr(a, option) and not getattr(a, other):
            raise UserError(f'--{option} is for --{other}, which is missing'.replace('_', '-'))
    for option, kind in KINDS.items():
        if getattr(a, option) and a.only not in (None, kind):
            raise UserError(f'--only {a.only} leaves out what --{option.replace("_", "-")} gives')
    if a.write_index and (a.work_dirs or a.predictions or a.speed):
        raise UserError(
            f'--write-index takes the numbers that come with the package: first copy metrics.json to {MEASURED}/NAME/, and '
            f'CSVs of speeds to {MEASURED}/'
        )
    if a.write_index and (a.only or 'all' not in a.tables or not (REPOSITORY / 'docs').is_dir()):
        raise UserError('--write-index needs a checkout, and all tables with all columns: `all`, without --only')
    tables, measurers = select_tables(a.tables), measurers_without_data()
    if a.speed:
        measurers['speed'] = [partial(measure_speed, files=a.speed)]
    if a.work_dirs:
        run = partial(evaluate_row, data_root=a.data_root) if a.run else None
        measurers['accuracy'].append(partial(measure_work_dirs, folder=a.work_dirs, evaluate=run))
    if a.predictions:
        measurers['accuracy'].append(
            partial(measure_predictions, predictions=a.predictions, ann_file=a.ann_file, backend=a.backend)
        )
    if a.only:
        tables, measurers = [table.only(a.only) for table in tables], {a.only: measurers[a.only]}
    cells, problems = reproduce(tables, [m for of_kind in measurers.values() for m in of_kind], tolerance=a.tolerance)
    print(render_text(cells))
    if a.json:
        write_atomically(a.json, render_json(cells) + '\n')
    if a.report:
        print('written:', *write_report(cells, a.report, environment()))
    if a.write_index:
        for file, text in index_files(cells).items():
            write_atomically(file, text)
    for problem in problems:
        print(f'error: {name_flags(problem)}', file=sys.stderr)
    compared, off = [c for c in cells if c.status in ('match', 'differ')], [c for c in cells if c.is_failure]
    if a.check:
        print(f'checked: {len(compared)} numbers, {len(off)} off')
    if problems or (a.check and (off or not compared)):
        sys.exit(1)
