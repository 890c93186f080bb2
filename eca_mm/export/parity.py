"""Whether an exported network computes what PyTorch does, and how fast, beside it."""

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn

from eca_mm.analysis.speed import interleave
from eca_mm.errors import UserError
from eca_mm.export.exported_part import ExportedPart, random_images
from eca_mm.export.formats import Run

Shape = tuple[int, int, int, int]
Outputs = Mapping[str, Tensor]


def reference_outputs(network: ExportedPart, shape: Shape) -> Outputs:
    """PyTorch's outputs for :func:`random_images`.

    Raises:
        UserError: If an output is not finite, or 0, or the same for black images: any file would agree with such a network.
    """
    images = random_images(shape)
    with torch.inference_mode():
        outputs, of_black = network.outputs(images), network.outputs(torch.zeros_like(images))
    for name, tensor in outputs.items():
        if not tensor.isfinite().all():
            raise UserError(f"the network's output {name} is not finite: choose a checkpoint that works")
        if not tensor.any() or tensor.equal(of_black[name]):
            raise UserError(
                f"the network's output {name} does not depend on the images (values up to {tensor.abs().max():.1e}), so "
                'that agreement would prove nothing: choose a checkpoint that works'
            )
    return outputs


@dataclass(frozen=True)
class Difference:
    """The difference between one output of PyTorch's network and of the exported one, on the same images.

    It is judged relative to the output's own greatest value, also where that is below 1: float32 has seven digits at any
    magnitude, and where features reach 40 and offsets of boxes 0.04, no absolute tolerance suits both.

    Attributes:
        shape: Of the images.
        output: Its name.
        largest: The greatest absolute difference; infinite for NaN, and where the shapes differ.
        magnitude: The greatest absolute value in PyTorch.
    """

    shape: Shape
    output: str
    largest: float
    magnitude: float

    @property
    def relative(self) -> float:
        return self.largest / self.magnitude

    def __str__(self) -> str:
        return (
            f'{self.largest:.1e} in {self.output}, {self.relative:.1e} of its greatest value {self.magnitude:.1e}, '
            f'on images {self.shape}'
        )


def max_difference(expected: Outputs, run: Run, shape: Shape) -> Difference:
    """The difference in that output of the exported network that differs most, relative to its greatest value.

    Args:
        expected: From :func:`reference_outputs`, for images of the same shape.
        run: The exported network.
        shape: Of the images.
    """
    with torch.inference_mode():
        got = run(random_images(shape))
    differences = [
        Difference(shape, name, _largest(tensor, other), tensor.abs().max().item())
        for (name, tensor), other in zip(expected.items(), got, strict=True)
    ]
    return max(differences, key=lambda difference: difference.relative)


def _largest(a: Tensor, b: Tensor) -> float:
    largest = (a - b).abs().max().item() if a.shape == b.shape else math.inf
    return math.inf if math.isnan(largest) else largest


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
