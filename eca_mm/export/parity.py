"""Whether an exported network computes what PyTorch does, and how fast, beside it."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn

from eca_mm.analysis.speed import interleave
from eca_mm.export.formats import Run

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Difference:
    """Of two networks on the same images.

    Attributes:
        shape: Of the images.
        largest: The greatest absolute difference of any output; infinite where their shapes differ.
        magnitude: The greatest absolute value of any of PyTorch's outputs.
        tolerance: As given.
        allowed: The greatest difference that counts as the same: the tolerance, for outputs beyond 1 in proportion to the
            magnitude, since float32 has seven digits of whatever number.
    """

    shape: Shape
    largest: float
    magnitude: float
    tolerance: float

    @property
    def allowed(self) -> float:
        return self.tolerance * max(1.0, self.magnitude)

    def __str__(self) -> str:
        return f'{self.largest:.1e} at {self.shape}, allowed {self.allowed:.1e} of values up to {self.magnitude:.1e}'


def compare(network: nn.Module, run: Run, shape: Shape, tolerance: float) -> Difference:
    """The network in PyTorch against the exported one, on normally distributed images, the same ones each time."""
    images = random_images(shape)
    with torch.inference_mode():
        expected, got = network(images), run(images)
    magnitude = torch.stack([tensor.abs().max() for tensor in expected]).max().item()
    if [tensor.shape for tensor in expected] != [tensor.shape for tensor in got]:
        return Difference(shape, float('inf'), magnitude, tolerance)
    largest = torch.stack([(a - b).abs().max() for a, b in zip(expected, got, strict=True)]).max()
    return Difference(shape, largest.item(), magnitude, tolerance)


def random_images(shape: Shape) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Speed:
    """Medians over the rounds; the ratio is taken round by round.

    Attributes:
        ratio: PyTorch's seconds divided by those of the exported network.
        pytorch, exported: Seconds for a batch.
        rounds, threads: How it was measured.
    """

    ratio: float
    pytorch: float
    exported: float
    rounds: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.ratio:.2f} x PyTorch's: {1000 * self.exported:.1f} ms a batch and {1000 * self.pytorch:.1f} ms "
            f'(CPU, {self.threads} threads, median of {self.rounds} rounds)'
        )


def measure_speed(network: nn.Module, run: Run, shape: Shape, rounds: int) -> Speed:
    """Times both on the CPU in turns, one batch a turn, with as many threads as torch has."""
    images = random_images(shape)
    turns = {'pytorch': partial(_seconds, network, images), 'exported': partial(_seconds, run, images)}
    seconds: Sequence[dict[str, float]] = list(interleave(turns, rounds))
    print(file=sys.stderr)  # below the progress bar
    ratio = statistics.median(s['pytorch'] / s['exported'] for s in seconds)
    pytorch, exported = (statistics.median(s[key] for s in seconds) for key in turns)
    return Speed(ratio, pytorch, exported, rounds, torch.get_num_threads())


def _seconds(run: Run, images: Tensor) -> float:
    start = perf_counter()
    with torch.inference_mode():
        run(images)
    return perf_counter() - start
