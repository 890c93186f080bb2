"""From a config and a checkpoint to a file for another runtime that is known to compute the same."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config

from eca_mm.errors import UserError
from eca_mm.export.exported_part import STRIDE, ExportedPart, fold_batch_norm, is_classifier, load_part, random_images
from eca_mm.export.formats import Format, Run, choose_format, quietly
from eca_mm.export.parity import Difference, Outputs, Shape, Speed, max_difference, measure_speed, reference_outputs
from eca_mm.output import check_output, write_atomically


@dataclass(frozen=True)
class ExportSettings:
    """What is exported, and how.

    Attributes:
        format: 'onnx', 'torch.export' or 'torchscript'; None for the one that the file's suffix tells.
        part: See :class:`~eca_mm.export.exported_part.ExportedPart`.
        size: Height and width of the images in pixels; None for 224 x 224, and 800 x 1344 in detectors.
        batch: Number of images.
        dynamic: Leave batch and size free: any number of images, each side longer than the network's greatest stride.
            Both are then only what parity and speed are measured with.
        tolerance: Greatest difference of an output from PyTorch's, relative to that output's greatest value: see
            :class:`~eca_mm.export.parity.Difference`.
        rounds: Of timing; 0 for none.
        force: Write over a file that exists.

    Raises:
        UserError: If a number is out of its range.
    """

    format: str | None = None
    part: str = 'model'
    size: tuple[int, int] | None = None
    batch: int = 1
    dynamic: bool = False
    tolerance: float = 1e-4
    rounds: int = 10
    force: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < STRIDE:
            raise UserError(
                f'images of these networks have {STRIDE} x {STRIDE} pixels or more, got {self.size[0]} x {self.size[1]}'
            )
        if self.batch < 1:
            raise UserError(f'batch must be at least 1, got {self.batch}')
        if not 0 <= self.tolerance < 1:
            raise UserError(
                f"tolerance is a part of an output's greatest value, from 0 to less than 1, got {self.tolerance}"
            )
        if self.rounds < 0:
            raise UserError(f'rounds must be at least 0, got {self.rounds}')

    def shapes(self, cfg: Config) -> list[Shape]:
        """The images on which the exported network must compute the same as PyTorch."""
        height, width = self.size or ((224, 224) if is_classifier(cfg) else (800, 1344))
        other = (self.batch + 1, 3, height + 33, width + 17)  # odd: no multiple of a stride
        return [(self.batch, 3, height, width), *([other] if self.dynamic else [])]


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how it compares with PyTorch.

    Attributes:
        file, label: The file and its format.
        metadata: As it is in the file.
        outputs: Their shapes by name.
        least: Pixels that each side of the images must have; None where batch and size are fixed.
        differences: For each of the shapes of images that were tried, the output that differs most.
        speed: None if it was not measured.
    """

    file: Path
    label: str
    metadata: dict[str, str]
    outputs: dict[str, tuple[int, ...]]
    least: int | None
    differences: list[Difference]
    speed: Speed | None

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


def export(cfg: Config, checkpoint: str, dst: str | Path, settings: ExportSettings | None = None) -> ExportReport:
    """Writes a part of a model for another runtime, batch norm folded, if it computes what PyTorch does.

    The network as it was in PyTorch and the written file, read back, run on the same random images. The file is put in
    its place only when they agree in every output.

    Args:
        cfg: From :func:`eca_mm.engine.load_config`.
        checkpoint: File of the weights; 'none' for random ones.
        dst: The file; its folder is made.
        settings: How.

    Raises:
        UserError: If the file exists, without ``force``, or cannot be written; if a package is missing; as
            :func:`~eca_mm.export.exported_part.load_part`; if the images are too small; if an output does not depend on
            them, or differs by more than the tolerance; if the exporter fails.
    """
    settings, dst = settings or ExportSettings(), Path(dst)
    kind = choose_format(dst, settings.format)
    kind.require()
    check_output(dst, force=settings.force)
    source = Path(checkpoint).expanduser()
    if dst.exists() and source.exists() and dst.samefile(source):
        raise UserError(f'{dst} is the checkpoint itself, which is never written over: name another file')
    network, metadata = load_part(cfg, checkpoint, settings.part)
    shapes = settings.shapes(cfg)
    least = _least_size(network, shapes[0]) if settings.dynamic else None
    expected = {shape: reference_outputs(network, shape) for shape in shapes}
    with TemporaryDirectory() as folder:
        file = Path(folder) / f'network{kind.suffixes[0]}'
        run = _write(kind, network, shapes[0], settings.dynamic, metadata, file)
        differences = [_agree(outputs, run, shape, kind, settings.tolerance) for shape, outputs in expected.items()]
        speed = measure_speed(network, run, shapes[0], settings.rounds) if settings.rounds else None
        write_atomically(dst, file.read_bytes())
    outputs = {name: tuple(tensor.shape) for name, tensor in expected[shapes[0]].items()}
    return ExportReport(dst, kind.label, metadata, outputs, least, differences, speed)


def _least_size(network: ExportedPart, shape: Shape) -> int:
    """Of each side in pixels. torch.export, and with it the ONNX exporter, treats a level of one pixel as a special case."""
    stride = network.stride()
    if min(shape[2:]) <= stride:
        raise UserError(
            f'images with free size have {stride + 1} x {stride + 1} pixels or more, since the network has a stride of '
            f'{stride}, got {shape[2]} x {shape[3]}'
        )
    return stride + 1


def _write(
    kind: Format, network: ExportedPart, shape: Shape, dynamic: bool, metadata: dict[str, str], file: Path
) -> Run:
    if dynamic:  # torch.export makes a batch of 1 a constant
        shape = (max(shape[0], 2), *shape[1:])
    with quietly(f'the export as {kind.label}'), torch.no_grad():
        kind.write(fold_batch_norm(network), random_images(shape), dynamic, metadata, file)
        return kind.read(file)


def _agree(expected: Outputs, run: Run, shape: Shape, kind: Format, tolerance: float) -> Difference:
    with quietly(f'the network exported as {kind.label}, run on images {shape},'):
        difference = max_difference(expected, run, shape)
    if difference.relative > tolerance:
        raise UserError(
            f'the network exported as {kind.label} differs from PyTorch by {difference}, tolerance {tolerance:g}: '
            'nothing is written; if it is rounding, as in deep networks with random weights, allow it by --tolerance'
        )
    return difference
