"""From a config and a checkpoint to a file for another runtime that is known to compute the same."""

import copy
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from mmengine.config import Config

from eca_mm.engine.config.parts import is_classifier
from eca_mm.errors import UserError
from eca_mm.export.exported_part import PARTS, STRIDE, load_part, random_images
from eca_mm.export.formats import Format, format_of, quietly
from eca_mm.export.parity import Difference, Shape, max_difference, measure_speed, reference_outputs
from eca_mm.models import fuse_for_inference
from eca_mm.models.fuse import fold_norms
from eca_mm.output import check_output, write_atomically
from eca_mm.paths import config_name

if TYPE_CHECKING:
    from eca_mm.export.detectors import DetectorReport


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
    part: str | None = None,
    size: tuple[int, int] | None = None,
    batch: int = 1,
    dynamic: bool = False,
    preprocess: bool = False,
    images: Sequence[str | Path] | None = None,
    tolerance: float | None = None,
    rounds: int | None = None,
    fuse: bool = False,
    force: bool = False,
) -> 'ExportReport | DetectorReport':
    """Write a network for another runtime, batch norm folded, if it computes what PyTorch does.

    The written file is read back. A whole detector must find in pictures what PyTorch finds; a classifier or a part must
    give the same outputs for random images. Otherwise nothing is put in place.

    Args:
        cfg: From :func:`eca_mm.engine.load_config`.
        checkpoint: File of the weights; 'none' for random ones.
        dst: The file, whose suffix names the format: .onnx, .pt2 (torch.export), .ts or .pt (TorchScript, not for whole
            detectors). Its folder is made.
        part: 'detector', the default for detectors, or one of :class:`~eca_mm.export.exported_part.ExportedPart`.
        size: Height and width of the images in pixels; None for 224 x 224 in classifiers, for what the test pipeline gives in
            whole detectors, and for 800 x 1344 in their parts.
        batch: Number of images.
        dynamic: Leave the size free, and the batch of all but whole detectors: each side longer than the network's greatest
            stride. Size and batch are then only what parity and speed are measured with.
        preprocess: Put resizing, padding and normalisation into a whole detector's file, which then takes pictures.
        images: Pictures, or folders of them, in which a whole detector is compared; by default the first of the config's
            test images, or drawn ones where there are none.
        tolerance: Greatest difference of an output from PyTorch's, relative to that output's greatest value (1e-4): see
            :class:`~eca_mm.export.parity.Difference`. Not for whole detectors.
        rounds: Of timing, 0 for none; None for 10, and 3 in whole detectors.
        fuse: Compute the gates of attention before the last convolution of their block, too: see
            :func:`eca_mm.models.fuse_for_inference`.
        force: Write over a file that exists.

    Raises:
        UserError: If a number is out of its range; if the file exists, without ``force``, or cannot be written; if a
            package is missing; as :func:`~eca_mm.export.exported_part.load_part`; if a detector's head is not known; if an
            output does not depend on the images, or differs by more than the tolerance; if the exporter fails.
    """
    part = part or ('model' if is_classifier(cfg) else 'detector')
    _check_arguments(cfg, part, batch, rounds, tolerance, preprocess, images)
    kind = format_of(Path(dst))
    dst = check_output(dst, force=force)
    source = Path(checkpoint).expanduser()
    if dst.exists() and source.exists() and dst.samefile(source):
        raise UserError(f'{dst} is the checkpoint itself, which is never written over: name another file')
    common: Any = dict(size=size, batch=batch, dynamic=dynamic, fuse=fuse)
    if part != 'detector':
        common |= dict(tolerance=1e-4 if tolerance is None else tolerance, rounds=10 if rounds is None else rounds)
        return _export_part(cfg, checkpoint, dst, kind, part, **common)
    from eca_mm.export.detectors import export_detector  # which needs mmdet

    common |= dict(preprocess=preprocess, images=images, rounds=3 if rounds is None else rounds)
    return export_detector(cfg, checkpoint, dst, kind, **common)


def _check_arguments(
    cfg: Config, part: str, batch: int, rounds: int | None, tolerance: float | None, preprocess: bool, images: Any
) -> None:
    for name, value, smallest in (('batch', batch, 1), ('rounds', rounds or 0, 0)):
        if value < smallest:
            raise UserError(f'{name} must be at least {smallest}, got {value}')
    if not 0 <= (tolerance or 0) < 1:
        raise UserError(f"tolerance is a part of an output's greatest value, from 0 to less than 1, got {tolerance}")
    if part == 'detector' and is_classifier(cfg):
        raise UserError(f'{config_name(cfg.filename)} is a classifier: choose part {", ".join(PARTS[:3])}')
    if part == 'detector' and tolerance is not None:
        raise UserError(
            f'tolerance {tolerance} is for outputs; detections must be equal to 0.05 pixels and 0.0001 in score: leave it out'
        )
    if part != 'detector' and (preprocess or images):
        raise UserError(f'preprocess and images are for whole detectors, and part is {part}: leave them out')


def _export_part(
    cfg: Config, checkpoint: str, dst: Path, kind: Format, part: str, *,
    size: tuple[int, int] | None, batch: int, dynamic: bool, tolerance: float, rounds: int, fuse: bool,
) -> ExportReport:  # fmt: skip
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
