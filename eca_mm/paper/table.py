"""What a table of a paper is, and what measures its numbers; the tables themselves are in :mod:`eca_mm.paper.tables`."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from eca_mm.engine import load_config
from eca_mm.engine.model import build_model
from eca_mm.paths import CONFIGS


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    config: str  # the file in configs/ that stands for it, without .py
    method: str  # as the paper calls it
    group: str  # what it is compared within: a backbone, or a detector with a backbone
    printed: dict[str, str | None]  # by column, the unit included; None where the paper has no number

    @property
    def file(self) -> Path:
        return CONFIGS / f'{self.config}.py'

    def build(self) -> nn.Module:
        """The model of the config, with random weights."""
        return build_model(load_config(self.file, cfg_options={'model.backbone.init_cfg': None}))


@cache
def max_epochs(row_file: Path) -> int:
    """The length of a config's training."""
    return int(load_config(row_file).train_cfg.max_epochs)


@dataclass(frozen=True)
class Kind:
    """What the numbers of a column are."""

    name: str  # what selects the columns of this kind
    command: Callable[[Row], str]  # what measures it for a row, as it is typed
    within_tolerance: bool = False  # whether ours need not be equal in print, as trainings vary
    as_ratio: bool = False  # compared as ratios to the first row of the group, as they depend on the machine


def _train_and_test(row: Row) -> str:
    config = f'configs/{row.config}.py'
    last = f'work_dirs/{row.file.stem}/epoch_{max_epochs(row.file)}.pth'
    return f'tools/train.py {config}; tools/test.py {config} {last}'


COMPLEXITY = Kind('complexity', lambda row: 'tools/reproduce.py all --only complexity')
SPEED = Kind('speed', lambda row: f'tools/benchmark.py {row.config}', as_ratio=True)  # images per second
ACCURACY = Kind('accuracy', _train_and_test, within_tolerance=True)  # per cent


@dataclass(frozen=True)
class Measurement:
    """A number of ours."""

    raw: float  # parameters, operations, per cent, or a ratio of speeds
    text: str  # the same in the unit and the digits of the paper's column
    source: str  # 'measured now', or the file of an earlier measurement
    note: str = ''  # why it differs or cannot be compared
    comparable: bool = True  # False for other data or another machine: it never counts as a reproduction


@dataclass(frozen=True)
class Paper:
    """Where tables come from, as it is cited, and as a collection of the model index."""

    name: str  # of its method, and of the collection
    authors: str
    title: str
    venue: str
    url: str
    machine: str = ''  # what its speeds were measured on
    architectures: tuple[str, ...] = ()  # of the collection


@dataclass(frozen=True)
class Plot:
    """How a table is drawn in the report."""

    kind: str  # 'operations' or 'kernel_size', see eca_mm.paper.report.figures
    title: str  # what it shows, for those who do not see it
    caption: str
    colours: Mapping[str, str]  # a method, or its first word, -> a colour of page.css
    groups: tuple[str, ...] = ()  # of the rows that are drawn; all of them by default


@dataclass(frozen=True)
class Table:
    """A table of a paper."""

    label: str  # its number in the paper: 'Table 4'
    title: str
    paper: Paper
    columns: Mapping[str, Kind]
    rows: tuple[Row, ...]
    benchmark: str  # what its accuracies are of, a key of eca_mm.engine.metrics.BENCHMARKS
    remark: str = ''  # what a reader must know
    count: Callable[[Row], Mapping[str, Measurement]] | None = None  # a row's network, see eca_mm.paper.complexity
    timed: bool = False  # whether tools/benchmark.py times its rows
    metafile: str | None = None  # the file of the model index that has its rows, with its accuracies
    plot: Plot | None = None
    explained: Mapping[tuple[str, str, str], str] = field(default_factory=dict)  # row, column, ours -> why it differs

    @property
    def name(self) -> str:
        """What :command:`tools/reproduce.py` calls it: 'table4'."""
        return re.sub(r'\W', '', self.label.lower())

    def first_of_group(self, row: Row) -> Row:
        """The row that the others of its group are compared with."""
        return next(r for r in self.rows if r.group == row.group)

    def only(self, kind: str) -> 'Table':
        """The same with the columns of one kind."""
        return replace(self, columns={name: k for name, k in self.columns.items() if k.name == kind})


Measurements = Mapping[tuple[str, str, str], Measurement]  # by table, row and column
Measured = tuple[Measurements, list[str]]  # and a sentence for each file that should have given a number and could not
Measurer = Callable[[Sequence[Table]], Measured]


def table(label: str, title: str, paper: Paper, columns: Mapping[Kind, str], text: str, **attributes: Any) -> Table:
    """A table from its text: lines ``config  method  numbers`` below headings ``[group]``.

    A number '-' is one that the paper does not give; '_' in a method is a space. The columns are given by their kind, in
    the order of the text; ``attributes`` are those of :class:`Table`.

    Raises:
        ValueError: If a line has not a number for each column.
    """
    kinds = {name: kind for kind, names in columns.items() for name in names.split()}
    rows, group = [], ''
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith('['):
            group = line.strip('[]')
            continue
        config, method, *numbers = line.split()
        printed = {c: None if n == '-' else n for c, n in zip(kinds, numbers, strict=True)}
        rows.append(Row(config, method.replace('_', ' '), group, printed))
    return Table(label, title, paper, kinds, tuple(rows), **attributes)
