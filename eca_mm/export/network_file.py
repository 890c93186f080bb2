"""From a config and a checkpoint to a file for another runtime that is known to compute the same."""

import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from mmengine.config import Config

from eca_mm.engine.config.parts import is_classifier
from eca_mm.errors import UserError
from eca_mm.export.exported_part import STRIDE, load_part, random_images
from eca_mm.export.formats import format_of, quietly
from eca_mm.export.parity import Difference, Shape, max_difference, measure_speed, reference_outputs
from eca_mm.models import fuse_for_inference
from eca_mm.models.fuse import fold_norms
from eca_mm.output import check_output, write_atomically


class ExportReport(NamedTuple):
    """What was written, and how it compares with PyTorch."""

    file: Path
    label: str  # of the format
    metadata: dict[str, str]  # as it is in the file
    outputs: dict[str, tuple[int, ...]]  # their shapes by name
    least: int | None  # pixels that each side of the images must have; None where batch and size are fixed
    differences: list[Difference]  # of each shape of images that was tried, in the output that differs most
    speed: str | None  # None if it was not measured

    def __str__(self) -> str:
        shapes = ', '.join(f'{name} {shape}' for name, shape in self.outputs.items())
        free = f'; batch and size are free, from {self.least} x {self.least} pixels on' if self.least else ''
        lines = [
            f'{self.metadata["config"]}, {self.metadata["part"]}, as {self.label}',
            f'images {self.differences[0].shape} -> {shapes}{free}',
            *(f'max difference from PyTorch: {d}' for d in self.differences),
            *([f'speed: {self.speed}'] if self.speed else []),
            f'written: {self.file} ({self.file.stat().st_size / 2**20:.1f} MiB)',
        ]
        return '\n'.join(lines)


def export(
    cfg: Config,
    checkpoint: str,
    dst: str | Path,
    *,
    part: str = 'model',
    size: tuple[int, int] | None = None,
    batch: int = 1,
    dynamic: bool = False,
    tolerance: float = 1e-4,
    rounds: int = 10,
    fuse: bool = False,
    force: bool = False,
) -> ExportReport:
    """Writes a part of a model for another runtime, batch norm folded, if it computes what PyTorch does.

    The network as it was in PyTorch and the written file, read back, run on the same random images. The file is put in
    its place only when they agree in every output.

    Args:
        cfg: From :func:`eca_mm.engine.load_config`.
        checkpoint: File of the weights; 'none' for random ones.
        dst: The file, whose suffix names the format: .onnx, .pt2 (torch.export), .ts or .pt (TorchScript). Its folder is made.
        part: See :class:`~eca_mm.export.exported_part.ExportedPart`.
        size: Height and width of the images in pixels; None for 224 x 224, and 800 x 1344 in detectors.
        batch: Number of images.
        dynamic: Leave batch and size free: any number of images, each side longer than the network's greatest stride.
            Both are then only what parity and speed are measured with.
        tolerance: Greatest difference of an output from PyTorch's, relative to that output's greatest value: see
            :class:`~eca_mm.export.parity.Difference`.
        rounds: Of timing; 0 for none.
        fuse: Compute the gates of attention before the last convolution of their block, too: see
            :func:`eca_mm.models.fuse_for_inference`.
        force: Write over a file that exists.

    Raises:
        UserError: If a number is out of its range; if the file exists, without ``force``, or cannot be written; if a
            package is missing; as :func:`~eca_mm.export.exported_part.load_part`; if an output does not depend on the
            images, or differs by more than the tolerance; if the exporter fails.
    """
    for name, value, smallest in (('batch', batch, 1), ('rounds', rounds, 0)):
        if value < smallest:
            raise UserError(f'{name} must be at least {smallest}, got {value}')
    if not 0 <= tolerance < 1:
        raise UserError(f"tolerance is a part of an output's greatest value, from 0 to less than 1, got {tolerance}")
    kind = format_of(Path(dst))
    dst = check_output(dst, force=force)
    source = Path(checkpoint).expanduser()
    if dst.exists() and source.exists() and dst.samefile(source):
        raise UserError(f'{dst} is the checkpoint itself, which is never written over: name another file')
    network, metadata = load_part(cfg, checkpoint, part)
    height, width = size or ((224, 224) if is_classifier(cfg) else (800, 1344))
    # torch.export, and with it the ONNX exporter, treats a level of one pixel as a special case.
    least = network.stride() + 1 if dynamic else STRIDE
    if min(height, width) < least:
        free = f' with free size, since its greatest stride is {least - 1}' if dynamic else ''
        raise UserError(f'the network takes images of {least} x {least} pixels or more{free}, got {height} x {width}')
    shapes: list[Shape] = [(batch, 3, height, width)]
    if dynamic:
        shapes.append((batch + 1, 3, height + 33, width + 17))  # odd: no multiple of a stride
    expected = {shape: reference_outputs(network, shape) for shape in shapes}
    example = random_images((max(batch, 2) if dynamic else batch, 3, height, width))  # a batch of 1 would be a constant
    differences = []
    with TemporaryDirectory() as folder:
        file = Path(folder) / f'network{dst.suffix.lower()}'
        with quietly(f'the export as {kind.label}'), torch.no_grad():
            folded = (fuse_for_inference if fuse else fold_norms)(copy.deepcopy(network))
            kind.write(folded, example, dynamic, metadata, file)
            run = kind.read(file)
        for shape, outputs in expected.items():
            with quietly(f'the network exported as {kind.label}, run on images {shape},'):
                differences.append(difference := max_difference(outputs, run, shape))
            if difference.relative > tolerance:
                raise UserError(
                    f'the network exported as {kind.label} differs from PyTorch by {difference}, tolerance {tolerance:g}: '
                    'nothing is written; if it is rounding, as in deep networks with random weights, allow it by --tolerance'
                )
        speed = measure_speed(network, run, shapes[0], rounds) if rounds else None
        write_atomically(dst, file.read_bytes())
    sizes = {name: tuple(tensor.shape) for name, tensor in expected[shapes[0]].items()}
    return ExportReport(dst, kind.label, metadata, sizes, least if dynamic else None, differences, speed)
