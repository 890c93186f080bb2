"""From a detector's config and checkpoint to a file that finds what the detector finds."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from torch import nn

from eca_mm.checkpoints import kernel_sizes
from eca_mm.engine import load_model
from eca_mm.errors import UserError
from eca_mm.export.detectors.files import trace, write_onnx, write_pt2
from eca_mm.export.detectors.network import ExportedDetector
from eca_mm.export.detectors.preprocessing import Preprocessing, default_size, preprocessing_of
from eca_mm.export.detectors.proof import Agreement, Found, Run, batch_inputs, compare, proof_images, reference, split
from eca_mm.export.exported_part import STRIDE, calibrate_batch_norm, random_images
from eca_mm.export.formats import Format, quietly
from eca_mm.export.parity import compare_speed
from eca_mm.models import fuse_for_inference
from eca_mm.models.fuse import fold_norms
from eca_mm.onnx_detector import Detector, read_image
from eca_mm.output import write_atomically
from eca_mm.paths import config_name
from eca_mm.version import __version__


class DetectorReport(NamedTuple):
    """What was written, and how it compares with PyTorch."""

    file: Path
    label: str  # of the format
    metadata: dict[str, str]  # as it is in the file
    inputs: str
    agreement: Agreement
    speed: str | None  # None if it was not measured

    def __str__(self) -> str:
        return '\n'.join(
            [
                f'{self.metadata["config"]}, the whole detector, as {self.label}',
                f'{self.inputs} -> {self.metadata["outputs"]}',
                str(self.agreement),
                *([f'speed: {self.speed}'] if self.speed else []),
                f'written: {self.file} ({self.file.stat().st_size / 2**20:.1f} MiB)',
            ]
        )


def export_detector(
    cfg: Config,
    checkpoint: str,
    dst: Path,
    kind: Format,
    *,
    size: tuple[int, int] | None,
    batch: int,
    dynamic: bool,
    preprocess: bool,
    images: Sequence[str | Path] | None,
    rounds: int,
    fuse: bool,
) -> DetectorReport:
    """Write a whole detector if it finds what PyTorch does; arguments and errors as of :func:`eca_mm.export.export`."""
    suffix = dst.suffix.lower()
    if suffix not in ('.onnx', '.pt2'):
        raise UserError(f'{dst}: a whole detector is written as .onnx or .pt2; TorchScript cannot follow it')
    if preprocess and (suffix != '.onnx' or batch > 1):
        raise UserError('preprocess puts resizing into an ONNX file for one image: name a .onnx file, and batch 1')
    facts = preprocessing_of(cfg, None)
    height, width = size or default_size(facts)
    if min(height, width) < STRIDE:
        raise UserError(f'the detector takes images of {STRIDE} x {STRIDE} pixels or more, got {height} x {width}')
    facts = facts if dynamic else preprocessing_of(cfg, (height, width))
    random = checkpoint == 'none'
    model: Any = load_model(cfg, None if random else checkpoint, device='cpu')
    network = ExportedDetector(model)
    if dynamic and min(height, width) <= (stride := network.stride()):
        # torch.export treats a level of one pixel as a special case.
        raise UserError(f'with free size the detector is traced above its stride of {stride}, got {height} x {width}')
    if random:
        calibrate_batch_norm(nn.Sequential(network.backbone, network.neck))
    metadata = _metadata(cfg, model, network, facts, batch, Path(checkpoint).name)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f'detector{suffix}'
        files = proof_images(cfg, images, Path(folder))
        with quietly(f'the export as {kind.label}'), torch.no_grad():
            folded = (fuse_for_inference if fuse else fold_norms)(copy.deepcopy(network))
            program = trace(folded, random_images((batch, 3, height, width)), dynamic)
            if suffix == '.pt2':
                write_pt2(program, metadata, file)
            else:
                stage = Preprocessing(facts) if preprocess else None
                write_onnx(program, folded, batch, stage, metadata, file)
        with quietly(f'the detector exported as {kind.label}'):
            run = _runner(file, network, facts)
            agreement = compare(model, network, run, files, facts, batch)
        if not agreement.holds:
            raise UserError(
                f'the detector exported as {kind.label} differs from PyTorch, nothing is written: {agreement}'
            )
        group = (files * batch)[:batch]
        speed = None
        if rounds:
            turns = (lambda: reference(model, group, facts), lambda: run(group, network.score_threshold))
            speed = compare_speed(*turns, rounds, 'from picture to detections')
        write_atomically(dst, file.read_bytes())
    taken = f'images ({batch}, 3, {"height, width" if dynamic else f"{height}, {width}"})'
    taken = 'image (height, width, 3), uint8, RGB' if preprocess else taken
    return DetectorReport(dst, kind.label, metadata, taken, agreement, speed)


def _metadata(
    cfg: Config, model: Any, network: ExportedDetector, facts: dict[str, Any], batch: int, weights: str
) -> dict[str, str]:
    return {
        'config': config_name(cfg.filename),
        'part': 'detector',
        'outputs': ', '.join(network.output_names(batch)),
        'preprocessing': json.dumps(facts),
        'classes': json.dumps(list(model.dataset_meta.get('classes') or ())),
        'kernel_size': json.dumps(kernel_sizes(model.backbone.state_dict()) or None),
        'score_threshold': json.dumps(network.score_threshold),
        'mask_threshold': json.dumps(network.test_cfg.get('mask_thr_binary', 0.5)),
        'producer': f'eca_mm {__version__}, torch {torch.__version__}',
        'weights': 'random' if weights == 'none' else weights,
    }


def _runner(file: Path, network: ExportedDetector, facts: dict[str, Any]) -> Run:
    """The file as a function of pictures."""
    mask_threshold = network.test_cfg.get('mask_thr_binary', 0.5)
    if file.suffix == '.pt2':
        program = torch.export.load(file).module()

        @torch.inference_mode()
        def run_program(files: Sequence[Path], threshold: float) -> list[Found]:
            inputs = batch_inputs(files, facts)
            outputs = program(inputs.pop('images'), **inputs, score_threshold=torch.tensor(threshold))
            named = zip(network.output_names(len(files)), outputs, strict=True)
            return split({name: output.numpy() for name, output in named}, files, mask_threshold)

        return run_program
    detectors: dict[float, Detector] = {}

    def run(files: Sequence[Path], threshold: float) -> list[Found]:
        if threshold not in detectors:
            detectors[threshold] = Detector(file, score_threshold=threshold, threads=torch.get_num_threads())
        detector = detectors[threshold]
        if detector.takes_pixels:
            outputs = detector(read_image(files[0]))
        else:
            outputs = detector.run(**{name: value.numpy() for name, value in batch_inputs(files, facts).items()})
        return split(outputs, files, mask_threshold)

    return run
