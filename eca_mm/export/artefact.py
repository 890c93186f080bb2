"""From a config and a checkpoint to a file for another runtime that is known to compute the same."""

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config

from eca_mm.checkpoints.writing import AtomicBackend
from eca_mm.export.formats import LEAST_DYNAMIC, LEAST_SIZE, Format, Run, choose_format, quietly
from eca_mm.export.graph import PARTS, Network, check_part, fold_batch_norm, is_classifier, load_network
from eca_mm.export.parity import Difference, Shape, Speed, compare, measure_speed, random_images


@dataclass(frozen=True)
class Settings:
    """What is exported, and how.

    Attributes:
        format: 'onnx', 'torch.export' or 'torchscript'; None for the one that the file's suffix tells.
        part: See :class:`~eca_mm.export.graph.Network`.
        size: Height and width of the images in pixels; None for 224 x 224, and 800 x 1344 in detectors.
        batch: Number of images.
        dynamic: Leave batch and size free: any number of images, of 33 pixels or more, 129
            for levels of stride 128. Both are then only what parity
            and speed are measured with.
        tolerance: Greatest absolute difference of any output from PyTorch's; where outputs are beyond 1, of their scale:
            see :class:`~eca_mm.export.parity.Difference`.
        rounds: Of timing; 0 for none.
        force: Write over a file that exists.

    Raises:
        ValueError: If a number makes no sense.
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
        if self.part not in PARTS:
            raise ValueError(f'unknown part {self.part!r}: choose from {", ".join(PARTS)}')
        least = LEAST_DYNAMIC if self.dynamic else LEAST_SIZE
        if self.size is not None and min(self.size) < least:
            kind = 'with free size' if self.dynamic else 'of these networks'
            raise ValueError(
                f'images {kind} have {least} x {least} pixels or more, got {self.size[0]} x {self.size[1]}'
            )
        if self.batch < 1:
            raise ValueError(f'batch must be at least 1, got {self.batch}')
        if not 0 <= self.tolerance < math.inf:
            raise ValueError(f'tolerance must be a number from 0 on, got {self.tolerance}')
        if self.rounds < 0:
            raise ValueError(f'rounds must be at least 0, got {self.rounds}')

    def shapes(self, cfg: Config) -> list[Shape]:
        """The images on which the exported network must compute the same as PyTorch."""
        height, width = self.size or ((224, 224) if is_classifier(cfg) else (800, 1344))
        other = (self.batch + 1, 3, height + 33, width + 17)  # odd, and not a multiple of a stride
        return [(self.batch, 3, height, width), *([other] if self.dynamic else [])]


@dataclass(frozen=True)
class Report:
    """What was written, and how it compares with PyTorch."""

    file: Path
    label: str
    metadata: dict[str, str]
    outputs: dict[str, tuple[int, ...]]
    dynamic: bool
    differences: list[Difference]
    speed: Speed | None

    def __str__(self) -> str:
        shapes = ', '.join(f'{name} {shape}' for name, shape in self.outputs.items())
        free = '; batch and size are free' if self.dynamic else ''
        lines = [
            f'{self.metadata["config"]}, {self.metadata["part"]}, as {self.label}',
            f'images {self.differences[0].shape} -> {shapes}{free}',
            *(f'max difference from PyTorch: {d}' for d in self.differences),
            *([f'speed: {self.speed}'] if self.speed else []),
            f'written: {self.file} ({self.file.stat().st_size / 2**20:.1f} MiB)',
        ]
        return '\n'.join(lines)


def export(cfg: Config, checkpoint: str, dst: str | Path, settings: Settings | None = None) -> Report:
    """Writes a part of a model for another runtime, batch norm folded, once it computes what PyTorch does.

    The network as it was in PyTorch and the written file, read back, run on the same random images. A file exists only
    when they agree.

    Args:
        cfg: From :func:`eca_mm.engine.load_config`.
        checkpoint: File of the weights; 'none' for random ones.
        dst: The file; its folder is made.
        settings: How.

    Raises:
        FileExistsError: If the file exists, without ``force``.
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If the checkpoint cannot be read or does not fit, the part cannot be exported, a package is missing,
            the outputs differ by more than the tolerance, or the file cannot be written.
    """
    settings, dst = settings or Settings(), Path(dst)
    kind = choose_format(dst, settings.format)
    kind.require()
    check_part(cfg, settings.part)
    check_free(dst, settings.force)
    network, metadata = load_network(cfg, checkpoint, settings.part)
    shapes = settings.shapes(cfg)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f'network{kind.suffixes[0]}'
        run = _write(kind, network, shapes[0], settings.dynamic, metadata, file)
        differences = [_agree(network, run, shape, kind, settings.tolerance) for shape in shapes]
        speed = measure_speed(network, run, shapes[0], settings.rounds) if settings.rounds else None
        put(file.read_bytes(), dst)
    with torch.inference_mode():
        outputs = {name: tuple(t.shape) for name, t in network.outputs(random_images(shapes[0])).items()}
    return Report(dst, kind.label, metadata, outputs, settings.dynamic, differences, speed)


def _write(kind: Format, network: Network, shape: Shape, dynamic: bool, metadata: dict[str, str], file: Path) -> Run:
    if dynamic:  # torch.export takes a batch of 1 for a constant
        shape = (max(shape[0], 2), *shape[1:])
    with quietly(f'the export as {kind.label}'), torch.no_grad():
        kind.write(fold_batch_norm(network), random_images(shape), dynamic, metadata, file)
        return kind.read(file)


def _agree(network: Network, run: Run, shape: Shape, kind: Format, tolerance: float) -> Difference:
    with quietly(f'the network exported as {kind.label}, run on images {shape},'):
        difference = compare(network, run, shape, tolerance)
    if not difference.largest <= difference.allowed:  # NaN too
        raise ValueError(
            f'the network exported as {kind.label} differs from PyTorch by {difference} (tolerance {tolerance:g}): '
            'nothing is written'
        )
    return difference


def check_free(file: Path, force: bool) -> None:
    """Looks whether a file may be written.

    Raises:
        FileExistsError: If it exists and may not be written over, or is a folder.
    """
    if file.is_dir():
        raise FileExistsError(f'{file} is a folder, not a file')
    if file.exists() and not force:
        raise FileExistsError(f'{file} exists: name another file, or write over it with --force')


def put(content: bytes, file: Path) -> None:
    """Writes a file whole or not at all.

    Raises:
        ValueError: If it cannot be written.
    """
    try:
        AtomicBackend().put(content, file)
    except OSError as error:
        raise ValueError(f'{file} cannot be written: {error.strerror}') from error
