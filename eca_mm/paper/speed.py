"""Reads what :command:`tools/benchmark.py` wrote."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from eca_mm.errors import MissingFileError, UserError
from eca_mm.paper.table import Measured, Measurement, Table

MODES = {'train': 'Training', 'inference': 'Inference'}


def measure_speed(tables: Sequence[Table], files: Iterable[Path]) -> Measured:
    """Ratios of speed for the tables whose rows are timed, also where the paper has none.

    Args:
        tables: Models that are no rows of theirs, like timm's, are passed over.
        files: CSVs of the benchmark. The last one that has a model counts.

    Returns:
        The measurements, and a sentence for each file that cannot be read.
    """
    measurements, problems = {}, []
    for file in files:
        try:
            where, lines = _read(file)
        except (UserError, OSError) as error:
            problems.append(str(error))
            continue
        for table in (t for t in tables if t.timed):
            rows = {row.config for row in table.rows}
            note = f'on {where}; the paper: {table.paper.machine or "unknown"}'
            for model, column, ratio in lines:
                if model in rows:
                    measurements[table.name, model, column] = Measurement(
                        ratio, f'{ratio:.2f}', f'measured before ({file.name})', note, comparable=False
                    )
    return measurements, problems


def _read(file: Path) -> tuple[str, list[tuple[str, str, float]]]:
    """What was measured on; and model, column and ratio of every line."""
    if not file.is_file():
        raise MissingFileError(f'benchmark not found: {file}; tools/benchmark.py writes such files')
    text = file.read_text(errors='replace').splitlines()
    header = dict(line[2:].split(': ', 1) for line in text if line.startswith('# ') and ': ' in line)
    try:
        lines = [
            (line['model'], MODES[line['mode']], float(line['ratio']))
            for line in csv.DictReader(line for line in text if not line.startswith('#'))
            if line['mode'] != 'finetune'  # no column of a table
        ]
        compiled = ', compiled' if header['compile'] == 'True' else ''
        where = f'{header["device"]}, {header["dtype"]}, {header["layout"]}{compiled}, batch {header["batch"]}'
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f'{file} is not what tools/benchmark.py writes ({type(error).__name__}: {error})') from error
    return where, lines
