"""Reads what :command:`tools/benchmark.py` wrote."""

import csv
from collections.abc import Sequence
from pathlib import Path

from eca_mm.errors import MissingFileError, UserError
from eca_mm.paper.cells import Measurement, number
from eca_mm.paper.tables import TABLES

MODES = {'train': 'Training', 'inference': 'Inference'}
HEADER = ('device', 'dtype', 'layout', 'compile', 'batch')
COLUMNS = ('model', 'mode', 'ratio')


def speed_measurements(files: Sequence[Path]) -> dict[tuple[str, str, str], Measurement]:
    """Ratios of speed by table, row and column: for Table 2 and, where the paper has none, the detectors of Table 4.

    Args:
        files: CSVs of the benchmark. The last one that has a model counts. Models that are in no table, like timm's, are
            passed over.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file is not as the benchmark writes it.
    """
    tables = {row.config: name for name in ('table4', 'table2') for row in TABLES[name].rows}
    measurements = {}
    for file in files:
        header, lines = _read(file)
        compiled = ', compiled' if header['compile'] == 'True' else ''
        where = f'{header["device"]}, {header["dtype"]}, {header["layout"]}{compiled}, batch {header["batch"]}'
        for model, mode, ratio in lines:
            if model in tables:
                measurements[tables[model], model, MODES[mode]] = Measurement(
                    raw=ratio,
                    text=f'{ratio:.2f}',
                    source=f'measured before ({file.name})',
                    note=f'on {where}; the paper: RTX 2080Ti',
                    comparable=False,
                )
    return measurements


def _read(file: Path) -> tuple[dict[str, str], list[tuple[str, str, float]]]:
    """The header, and model, mode and ratio of every line."""
    if not file.is_file():
        raise MissingFileError(f'benchmark not found: {file}; tools/benchmark.py writes such files')
    text = file.read_text(errors='replace').splitlines()
    header = dict(line[2:].split(': ', 1) for line in text if line.startswith('# ') and ': ' in line)
    reader = csv.DictReader(line for line in text if not line.startswith('#'))
    missing = [name for name in HEADER if name not in header]
    missing += [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(f'{file} is not a file of tools/benchmark.py: it has no {", ".join(missing)}')
    lines = []
    for line in reader:
        ratio = number(line['ratio'])
        if line['mode'] not in MODES or not ratio or ratio < 0:
            raise UserError(
                f'{file}: {line["model"]} has mode {line["mode"]!r} and ratio {line["ratio"]!r}: measure again'
            )
        lines.append((line['model'], line['mode'], ratio))
    return header, lines
