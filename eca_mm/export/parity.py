"""Whether an exported network computes what PyTorch does, and how fast, beside it."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from eca_mm.analysis.speed import interleave
from eca_mm.errors import UserError
from eca_mm.export.exported_part import ExportedPart, random_images
from eca_mm.export.formats import Run

Shape = tuple[int, int, int, int]
Outputs = Mapping[str, Tensor]


@torch.inference_mode()
def reference_outputs(network: ExportedPart, shape: Shape) -> Outputs:
    """PyTorch's outputs for :func:`random_images`.

    Raises:
        UserError: If an output is not finite, or 0, or the same for black images: any file would agree with such a network.
    """
    images = random_images(shape)
    outputs, of_black = network.outputs(images), network.outputs(torch.zeros_like(images))
    for name, tensor in outputs.items():
        if not tensor.isfinite().all() or not tensor.any() or tensor.equal(of_black[name]):
            raise UserError(
                f"the network's output {name} is not finite, or does not depend on the images (values up to "
                f'{tensor.abs().max():.1e}), so that agreement would prove nothing: choose a checkpoint that works'
            )
    return outputs


class Difference(NamedTuple):
    """The difference between one output of PyTorch's network and of the exported one, on the same images.

    It is judged relative to the output's own greatest value, also where that is below 1: float32 has seven digits at any
    magnitude, and where features reach 40 and offsets of boxes 0.04, no absolute tolerance suits both.
    """

    shape: Shape  # of the images
    output: str
    largest: float  # absolute; infinite for NaN, and where the shapes differ
    magnitude: float  # the greatest absolute value in PyTorch

    @property
    def relative(self) -> float:
        return self.largest / self.magnitude

    def __str__(self) -> str:
        return (
            f'{self.largest:.1e} in {self.output}, {self.relative:.1e} of its greatest value {self.magnitude:.1e}, '
            f'on images {self.shape}'
        )


@torch.inference_mode()
def max_difference(expected: Outputs, run: Run, shape: Shape) -> Difference:
    """The difference in that output of the exported network that differs most, relative to its greatest value.

    Args:
        expected: From :func:`reference_outputs`, for images of the same shape.
        run: The exported network.
        shape: Of the images.
    """
    differences = []
    for (name, tensor), got in zip(expected.items(), run(random_images(shape)), strict=True):
        largest = (tensor - got).abs().max().item() if tensor.shape == got.shape else math.inf
        largest = math.inf if math.isnan(largest) else largest
        differences.append(Difference(shape, name, largest, tensor.abs().max().item()))
    return max(differences, key=lambda difference: difference.relative)


def measure_speed(network: nn.Module, run: Run, shape: Shape, rounds: int) -> str:
    """Compare both on one batch: see :func:`compare_speed`."""
    images = random_images(shape)
    return compare_speed(partial(network, images), partial(run, images), rounds, 'a batch')


def compare_speed(pytorch: Callable[[], Any], exported: Callable[[], Any], rounds: int, unit: str) -> str:
    """Time both on the CPU in turns, with as many threads as torch has.

    Returns:
        A sentence with medians over the rounds; the ratio of PyTorch's seconds to the file's is taken round by round.
    """

    @torch.inference_mode()
    def seconds(call: Callable[[], Any]) -> float:
        start = perf_counter()
        call()
        return perf_counter() - start

    turns = {'pytorch': partial(seconds, pytorch), 'exported': partial(seconds, exported)}
    measured = list(interleave(turns, rounds))
    ratio = median(s['pytorch'] / s['exported'] for s in measured)
    medians = [1000 * median(s[key] for s in measured) for key in turns]
    return (
        f"{ratio:.2f} x PyTorch's: {medians[1]:.1f} ms {unit} and {medians[0]:.1f} ms "
        f'(CPU, {torch.get_num_threads()} threads, median of {rounds} rounds)'
    )
