"""What a table of a paper is, and what measures its numbers; the tables themselves are in :mod:`eca_mm.paper.tables`."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from torch import nn

from eca_mm.engine import load_config
from eca_mm.engine.model import build_model
from eca_mm.paths import CONFIGS


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        config: The file in ``configs/`` that stands for it, without ``.py``; it need not exist yet.
        method: The paper's name for the method.
        group: What it is compared within: a backbone, or a detector with a backbone.
        printed: Column -> number as printed, its unit included; None where the paper has none.
    """

    config: str
    method: str
    group: str
    printed: dict[str, str | None]

    @property
    def file(self) -> Path:
        return CONFIGS / f'{self.config}.py'

    @property
    def is_implemented(self) -> bool:
        return self.file.is_file()

    def build(self) -> nn.Module:
        """The model of the config, with random weights."""
        return build_model(load_config(self.file, cfg_options={'model.backbone.init_cfg': None}))


@cache
def max_epochs(row_file: Path) -> int:
    """The length of a config's training."""
    return int(load_config(row_file).train_cfg.max_epochs)


@dataclass(frozen=True)
class Kind:
    """What the numbers of a column are.

    Attributes:
        name: What ``--only`` calls it.
        command: What measures it for a row, as it is typed.
        within_tolerance: Ours match if they are within the tolerance, as trainings vary; others must be equal in print.
        as_ratio: Numbers are compared as ratios to the first row of the group, as they depend on the machine.
    """

    name: str
    command: Callable[[Row], str]
    within_tolerance: bool = False
    as_ratio: bool = False


def _train_and_test(row: Row) -> str:
    config = f'configs/{row.config}.py'
    last = f'work_dirs/{row.file.stem}/epoch_{max_epochs(row.file)}.pth'
    return f'tools/train.py {config}; tools/test.py {config} {last}'


COMPLEXITY = Kind('complexity', lambda row: 'tools/reproduce.py all --only complexity')
SPEED = Kind('speed', lambda row: f'tools/benchmark.py {row.config}', as_ratio=True)  # images per second
ACCURACY = Kind('accuracy', _train_and_test, within_tolerance=True)  # per cent


@dataclass(frozen=True)
class Measurement:
    """A number of ours.

    Attributes:
        raw: Its value in full: parameters, operations, per cent, or a ratio of speeds.
        text: The value in the unit and the digits of the paper's column.
        source: Where it comes from: 'measured now', or the file of an earlier measurement.
        note: What a reader must know: why it differs, or why it cannot be compared.
        comparable: False for what was measured on other data or on another machine; it never counts as a reproduction.
    """

    raw: float
    text: str
    source: str
    note: str = ''
    comparable: bool = True


@dataclass(frozen=True)
class Paper:
    """Where tables come from.

    Attributes:
        name: Of its method, and of its collection in the model index.
        authors, title, venue: As it is cited.
        url: Of its page.
        machine: What its speeds were measured on.
        architectures: Of the collection in the model index.
    """

    name: str
    authors: str
    title: str
    venue: str
    url: str
    machine: str = ''
    architectures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plot:
    """How a table is drawn in the report.

    Attributes:
        kind: A function of :mod:`eca_mm.paper.report.figures`: 'operations' or 'kernel_size'.
        title: What it shows, for those who do not see it.
        caption: What stands below it.
        colours: Method, or its first word, -> a colour of ``page.css``.
        groups: The groups of rows that are drawn; all of them by default.
    """

    kind: str
    title: str
    caption: str
    colours: Mapping[str, str]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        label: Its number in the paper: 'Table 4'.
        title: What it shows.
        paper: Where it is printed.
        columns: The paper's names of the columns, and what their numbers are.
        rows: The lines in the paper's order.
        benchmark: What its accuracies are of, a key of :data:`eca_mm.engine.metrics.BENCHMARKS`.
        remark: What a reader must know about it.
        count: Counts a row's network as the paper did, see :mod:`eca_mm.paper.complexity`; None if nothing is counted.
        timed: Whether :command:`tools/benchmark.py` times its rows.
        metafile: The file of the model index that has its rows, with its accuracies; None if they are in no index.
        plot: How it is drawn in the report, if it is.
        explained: Row, column and our number -> why it cannot be the paper's.
    """

    label: str
    title: str
    paper: Paper
    columns: Mapping[str, Kind]
    rows: tuple[Row, ...]
    benchmark: str
    remark: str = ''
    count: Callable[[Row], Mapping[str, Measurement]] | None = None
    timed: bool = False
    metafile: str | None = None
    plot: Plot | None = None
    explained: Mapping[tuple[str, str, str], str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What :command:`tools/reproduce.py` calls it: 'table4'."""
        return re.sub(r'\W', '', self.label.lower())

    def row(self, config: str) -> Row:
        """The row of a config; StopIteration if there is none."""
        return next(row for row in self.rows if row.config == config)

    def first_of_group(self, row: Row) -> Row:
        """The row that the others of its group are compared with."""
        return next(r for r in self.rows if r.group == row.group)

    def only(self, kind: str) -> 'Table':
        """The same with the columns of one kind."""
        return replace(self, columns={name: k for name, k in self.columns.items() if k.name == kind})


Measurements = Mapping[tuple[str, str, str], Measurement]  # by table, row and column
Measured = tuple[Measurements, list[str]]  # and a sentence for each file that should have given a number and could not
Measurer = Callable[[Sequence[Table]], Measured]


def typed_rows(columns: Sequence[str], text: str) -> tuple[Row, ...]:
    """Reads lines ``config  method  numbers`` below headings ``[group]``.

    A number '-' is one that the paper does not give; '_' in a method is a space.

    Raises:
        ValueError: If a line has not a number for each column.
    """
    rows, group = [], ''
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith('['):
            group = line.strip('[]')
            continue
        config, method, *numbers = line.split()
        if len(numbers) != len(columns):
            raise ValueError(f'{line!r} has {len(numbers)} numbers for the columns {columns}')
        printed = {c: None if n == '-' else n for c, n in zip(columns, numbers, strict=True)}
        rows.append(Row(config, method.replace('_', ' '), group, printed))
    return tuple(rows)


def table(label: str, title: str, paper: Paper, columns: Mapping[Kind, str], text: str, **attributes: object) -> Table:
    """A table from its text, see :func:`typed_rows`; the columns are given by their kind, in the order of the text."""
    kinds = {name: kind for kind, names in columns.items() for name in names.split()}
    return Table(label, title, paper, kinds, typed_rows(tuple(kinds), text), **attributes)  # type: ignore[arg-type]
