"""Speed and memory of models, measured in turns, so that a ratio does not depend on when each model was measured."""

import csv
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine import ProgressBar

from eca_mm.analysis.workload import BenchmarkModel, BenchmarkSettings, Workload, seeded
from eca_mm.errors import Interrupted, UserError
from eca_mm.output import check_output, write_atomically


def interleave(turns: Mapping[Any, Callable[[], float]], rounds: int) -> Iterator[dict[Any, float]]:
    """Every turn once a round, with a progress bar on stderr; yields the seconds of each round but the first."""
    bar = ProgressBar((rounds + 1) * len(turns), file=sys.stderr)
    try:
        for number in range(rounds + 1):
            seconds = {}
            for key, turn in turns.items():
                seconds[key] = turn()
                bar.update()
            if number:  # the round before the first one warmed up
                yield seconds
    finally:
        print(file=sys.stderr)  # below the bar


@dataclass(frozen=True)
class Line:
    """A line of the CSV: one model in one mode. Medians over the rounds, with their quartiles."""

    model: str
    mode: str
    plain: str  # the baseline
    images_per_s: float
    images_per_s_q25: float
    images_per_s_q75: float
    ratio: float  # speed divided by that of the baseline in the same round
    ratio_q25: float
    ratio_q75: float
    peak_memory_MiB: float | None = None  # noqa: N815  see Workload
    saved_for_backward_MiB: float | None = None  # noqa: N815  with gradients, see saved_for_backward()


def summarise(
    rounds: Sequence[Mapping[tuple[str, str], float]], baselines: Mapping[str, str], images: int
) -> Iterator[Line]:
    """Medians and quartiles. A ratio is taken within a round, so that what slows the machine for a while cancels out.

    Args:
        rounds: Seconds by model and mode.
        baselines: What each model is compared with, by name.
        images: Number of images in those seconds.
    """
    for model, mode in rounds[0]:
        seconds = np.array([r[model, mode] for r in rounds])
        ratios = np.array([r[baselines[model], mode] for r in rounds]) / seconds
        (s25, speed, s75), (r25, ratio, r75) = (
            np.percentile(v, (25, 50, 75)).round(4).tolist() for v in (images / seconds, ratios)
        )
        yield Line(model, mode, baselines[model], speed, s25, s75, ratio, r25, r75)


class BenchmarkReport(NamedTuple):
    """A measurement and its file."""

    file: Path
    header: dict[str, object]
    lines: list[Line]

    def __str__(self) -> str:
        width = max(len(x.model) for x in self.lines) + 2
        titles = ('model', 'mode', 'images/s', '25-75%', 'ratio', '25-75%', 'MiB peak, saved')
        text = [f'{titles[0]:<{width}}' + '{:<11}{:>8}  {:<14}{:>6}  {:<13}{}'.format(*titles[1:])]
        for x in self.lines:
            memory = ', '.join('-' if m is None else f'{m:.0f}' for m in (x.peak_memory_MiB, x.saved_for_backward_MiB))
            speeds = f'{x.images_per_s_q25:.4g}-{x.images_per_s_q75:.4g}'
            text.append(
                f'{x.model:<{width}}{x.mode:<11}{x.images_per_s:>8.4g}  {speeds:<14}'
                f'{x.ratio:>6.3f}  {x.ratio_q25:.3f}-{x.ratio_q75:.3f}  {memory}'
            )
        return '\n'.join(text)

    def write(self) -> None:
        """The header as lines ``# key: value``, then a CSV."""
        text = io.StringIO()
        text.writelines(f'# {key}: {value}\n' for key, value in self.header.items())
        writer = csv.DictWriter(text, [f.name for f in fields(Line)], lineterminator='\n')
        writer.writeheader()
        writer.writerows(asdict(line) for line in self.lines)
        write_atomically(self.file, text.getvalue())


@contextmanager
def _measuring(settings: BenchmarkSettings) -> Iterator[None]:
    """Torch's threads, compiler and random numbers as the measurement needs them; as they were, afterwards."""
    threads = torch.get_num_threads()
    # All models share their classes' code: dynamo's 8 variants of each are too few.
    many = torch._dynamo.config.patch(cache_size_limit=1000) if settings.compile else nullcontext()
    torch.set_num_threads(settings.threads or threads)
    try:
        with many, seeded():  # detectors draw proposals at random
            yield
    except torch.cuda.OutOfMemoryError as error:
        raise UserError(
            f'batch {settings.batch} does not fit on {settings.device_name}: choose a smaller one'
        ) from error
    finally:
        torch.set_num_threads(threads)


def benchmark(
    models: Sequence[BenchmarkModel],
    settings: BenchmarkSettings,
    out: str | Path = 'work_dirs/benchmark',
    *,
    force: bool = False,
) -> BenchmarkReport:
    """Measures models in turns and writes the CSV.

    Args:
        models: What to measure; each model's baseline must be among them.
        settings: How.
        out: A file that ends in .csv, or a folder in which a file is named after the settings, and replaced.
        force: Write over a named file that exists.

    Raises:
        UserError: If the named file exists, without ``force``, the folder cannot be written into, a config is wrong, or the
            batch does not fit on the GPU.
        Interrupted: After Ctrl-C. The rounds until then are written if there are two.
    """
    named = Path(out).suffix == '.csv'
    file = check_output(out if named else Path(out) / settings.file_name(), force=force or not named)
    rounds: list[dict[tuple[str, str], float]] = []
    interrupted = ''
    with _measuring(settings):
        workloads = {model.name: Workload(model, settings) for model in models}
        turns = {(name, mode): partial(w.turn, mode) for mode in settings.modes for name, w in workloads.items()}
        try:
            for seconds in interleave(turns, settings.rounds):
                rounds.append(seconds)
        except KeyboardInterrupt:
            interrupted = f'interrupted after {len(rounds)} of {settings.rounds} rounds'
            if len(rounds) < 2:
                raise Interrupted(f'{interrupted}: nothing is written') from None
        baselines = {model.name: model.baseline for model in models}
        lines = list(summarise(rounds, baselines, settings.batch * settings.iterations))
        report = BenchmarkReport(file, {**settings.header(), 'rounds': len(rounds)}, lines)
        report.write()  # the memory takes minutes on a CPU
        lines[:] = [replace(line, **workloads[line.model].memory(line.mode)) for line in lines]
    report.write()
    if interrupted:
        raise Interrupted(f'{interrupted}, which are written: {file}')
    return report
