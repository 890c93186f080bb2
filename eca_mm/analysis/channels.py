"""What a network's channels do on images: pooled activations, and the weights that attention gives them, by hooks.

Sums are kept, and the first few images: the memory does not grow with the number of images.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eca_mm.engine.inferencers import preprocessed
from eca_mm.engine.predict import IMAGE_SUFFIXES, find_images
from eca_mm.errors import UserError
from eca_mm.models.attention import ChannelAttention

EVERYTHING = 'all images'  # the label of images that are in no folder of a class


class Tap(NamedTuple):
    """Where numbers are taken: a module, and what is taken of its call."""

    module: nn.Module
    take: Callable[[Tensor, Tensor], Tensor]  # input and output -> (N, C)


@dataclass
class Channels:
    """Numbers of C channels over images."""

    examples: int = 4  # how many images are kept one by one
    first: list[Tensor] = field(default_factory=list)  # (C,) each
    sums: dict[str, Tensor] = field(default_factory=dict)  # (C,), by label
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, rows: Tensor, labels: Sequence[str]) -> None:
        """Adds (N, C) numbers of N images with their labels."""
        for row, label in zip(rows.double().cpu(), labels, strict=True):
            if len(self.first) < self.examples:
                self.first.append(row)
            self.sums[label] = self.sums.get(label, 0) + row
            self.counts[label] += 1

    def mean(self, label: str | None = None) -> Tensor:
        """(C,), over the images of a label, or over all labels, each as much as the others."""
        return (
            self.sums[label] / self.counts[label] if label else torch.stack([self.mean(x) for x in self.sums]).mean(0)
        )


def find_labelled(images: str | Path) -> list[tuple[Path, str]]:
    """Images with their labels: the names of their folders in a folder of folders, else :data:`EVERYTHING`.

    Raises:
        MissingFileError: If there are none.
        UserError: If there are images beside the folders.
    """
    folder = Path(images)
    labelled = [(f, f.parent.name) for f in sorted(folder.glob('*/*')) if f.suffix.lower() in IMAGE_SUFFIXES]
    if labelled and (beside := [f.name for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES]):
        raise UserError(
            f'{folder} has images beside its folders, of no class: {", ".join(beside[:3])}; move them into one'
        )
    return labelled or [(f, EVERYTHING) for f in find_images(images)]


def blocks(model: Any) -> dict[str, Any]:
    """The blocks with an attention slot by the paper's names: conv_2_3 is the third of the first stage, ``layer1.2``."""
    found = {}
    for name, module in model.backbone.named_modules():
        if (place := re.fullmatch(r'layer(\d+)\.(\d+)', name)) and hasattr(module, 'slot'):
            found[f'conv_{int(place[1]) + 1}_{int(place[2]) + 1}'] = module
    return found


def attention_taps(model: Any) -> dict[str, Tap]:
    """The weights of every channel attention, by the name of its block.

    Raises:
        UserError: If there is none.
    """
    layers = {name: block.slot for name, block in blocks(model).items() if isinstance(block.slot, ChannelAttention)}
    if not layers:
        raise UserError(f'{type(model.backbone).__name__} has no channel attention in its blocks: nothing has weights')
    return {name: Tap(layer, partial(_weights, layer)) for name, layer in layers.items()}


def _weights(layer: ChannelAttention, inputs: Tensor, output: Tensor) -> Tensor:
    return layer.gate(inputs.mean((2, 3)))


def pooling_taps(model: Any, names: Sequence[str]) -> dict[str, Tap]:
    """The global average pooling of what the attention of blocks gets, or would get if they had one; or of modules' outputs.

    Args:
        model: Of a config.
        names: Blocks as the paper calls them, conv_2_3, or modules of the model, backbone.layer1.

    Raises:
        UserError: If there is no such block or module, with the nearest ones.
    """
    known, modules = blocks(model), dict(model.named_modules())
    taps = {}
    for name in names:
        if name not in known and not modules.get(name):
            near = difflib.get_close_matches(name, [*known, *modules], n=3, cutoff=0.5) or [*known, *modules][:5]
            raise UserError(f'the network has no {name!r}: did you mean {", ".join(filter(None, near))}?')
        if name in known:
            taps[name] = Tap(known[name].slot, lambda inputs, output: inputs.mean((2, 3)))
        else:
            taps[name] = Tap(modules[name], lambda inputs, output: output.mean((2, 3)))
    return taps


@torch.no_grad()
def collect(
    model: Any, images: Sequence[tuple[Path, str]], taps: Mapping[str, Tap], *, batch: int = 8, examples: int = 4
) -> dict[str, Channels]:
    """Runs the backbone (and neck) over images and takes the numbers.

    Args:
        model: From :func:`eca_mm.load_model`.
        images: Files and labels.
        taps: By name.
        batch: Images at once.
        examples: Images that are kept one by one.

    Raises:
        UserError: If an image cannot be read, or what is taken is not of features (N, C, H, W).
    """
    found = {name: Channels(examples) for name in taps}
    labels: Sequence[str] = ()
    with ExitStack() as hooks:
        for name, tap in taps.items():

            def take(module: nn.Module, inputs: Any, output: Any, name: str = name, tap: Tap = tap) -> None:
                features = inputs[0] if isinstance(inputs[0], Tensor) else output
                if getattr(output, 'ndim', 0) != 4 or len(output) != len(labels):
                    raise UserError(
                        f'{name} gives no features (N, C, H, W) of {len(labels)} images: name another module'
                    )
                found[name].add(tap.take(features, output), labels)

            hooks.enter_context(tap.module.register_forward_hook(take))
        for start in range(0, len(images), batch):
            some = images[start : start + batch]
            labels = [label for _, label in some]
            model.extract_feat(preprocessed(model, [file for file, _ in some]))
    return found


class Period(NamedTuple):
    """How far from random the neighbourhood of channels is: the highest peak of an autocorrelation."""

    lag: int  # channels; 0 if there is no peak
    height: float
    bound: float  # which the highest of all lags stays below in 95 % of random orders


def autocorrelation(y: np.ndarray) -> np.ndarray:
    """``r_l = sum_c (y_c - m)(y_(c+l) - m) / sum_c (y_c - m)^2`` for lags l from 0 to C / 2, of (C,) numbers with mean m."""
    centred = y - y.mean()
    return np.array([(centred[: len(y) - lag] * centred[lag:]).sum() for lag in range(len(y) // 2 + 1)]) / max(
        (centred**2).sum(), np.finfo(float).tiny
    )


def period(y: np.ndarray) -> Period:
    """The highest local maximum of :func:`autocorrelation` at a lag of 2 or more."""
    r = autocorrelation(y)
    # At one lag about normal with the variance 1 / C, and of len(r) lags none may exceed the bound.
    bound = NormalDist().inv_cdf(1 - 0.05 / len(r)) / len(y) ** 0.5
    peaks = [lag for lag in range(2, len(r) - 1) if r[lag - 1] < r[lag] >= r[lag + 1]]
    lag = max(peaks, key=lambda lag: r[lag], default=0)
    return Period(lag, float(r[lag]) if lag else 0.0, bound)
