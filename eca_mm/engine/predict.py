"""Predictions for pictures: annotated copies and JSON."""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from eca_mm.checkpoints.reading import read_for_mmengine
from eca_mm.engine.building import building
from eca_mm.engine.files import require
from eca_mm.engine.model import load_model
from eca_mm.engine.runner import restored_globals
from eca_mm.errors import MissingFileError, UserError
from eca_mm.output import make_folder, write_atomically

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
Predictor = Callable[[list[str]], None]


def find_images(path: str | Path) -> list[Path]:
    """The image itself, or the images of a folder by name.

    Raises:
        MissingFileError: If there is nothing there, or no image in the folder.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise MissingFileError(f'image not found: {path}')
    images = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise MissingFileError(f'no image in {path}: looked for {", ".join(IMAGE_SUFFIXES)}')
    return images


@restored_globals()
def predict(
    cfg: Config,
    checkpoint: str | Path,
    images: Sequence[str | Path],
    out_dir: str | Path,
    *,
    threshold: float = 0.3,
    device: str | None = None,
) -> list[Path]:
    """Runs a detector or a classifier on images, with mmdet's or mmpretrain's inferencer.

    Args:
        cfg: From :func:`load_config`.
        checkpoint: File or URL of the weights.
        images: Image files. Ones that cannot be decoded are passed over with a warning.
        out_dir: Gets ``vis/NAME`` and, for detectors, ``preds/NAME.json`` (labels, scores, boxes as x1 y1 x2 y2 in
            pixels, masks as run lengths); for classifiers ``preds.json`` (label, score and class by image).
        threshold: Least score of a box that is drawn. The JSON holds all.
        device: As in torch; the first GPU or else the CPU by default.

    Returns:
        The images that were read.

    Raises:
        MissingFileError: If the checkpoint is missing.
        UserError: If the checkpoint cannot be read or does not fit, no image can be read, two have the same name
            but for the suffix, there is no such device, or the output folder cannot be made.
    """
    require(cfg, 'prediction', 'test_dataloader')
    readable = [Path(f) for f in images if cv2.imread(str(f)) is not None]
    for file in sorted({Path(f) for f in images} - set(readable)):
        warnings.warn(f'not an image that can be read, passed over: {file}', stacklevel=3)
    if not readable:
        raise UserError(f'none of the images can be read: {", ".join(str(f) for f in images)}')
    _check_names(readable)
    _check_device(device)
    make_folder(out_dir, '--out-dir')
    content = read_for_mmengine(checkpoint)
    model = load_model(cfg, content, str(checkpoint))
    kind = _classifier if cfg.get('default_scope') == 'mmpretrain' else _detector
    with building('a pipeline for images', cfg.to_dict()):
        run = kind(cfg.copy(), model, content, Path(out_dir), threshold, device or get_device())
    run([str(f) for f in readable])
    return readable


def _check_names(files: list[Path]) -> None:
    stems = [f.stem for f in files]
    twice = [f.name for f in files if stems.count(f.stem) > 1]
    if twice:
        raise UserError(f'{", ".join(twice)} would write the same JSON file: rename them, or predict one at a time')


def _check_device(device: str | None) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'device {device!r} cannot be used: {str(error).splitlines()[0]}') from error


def _detector(
    cfg: Config, model: Any, content: dict[str, Any], out_dir: Path, threshold: float, device: str
) -> Predictor:
    from mmdet.apis import DetInferencer

    class Inferencer(DetInferencer):
        """With a model that has its weights; mmdet adds the classes and their colours."""

        def _init_model(self, cfg: Config, weights: None, device: str) -> nn.Module:
            self._load_weights_to_model(model, content, cfg)
            model.cfg = cfg
            return model.to(device).eval()

    inferencer = Inferencer(cfg, device=device, scope=cfg.get('default_scope', 'mmdet'))

    def run(files: list[str]) -> None:
        inferencer(files, out_dir=str(out_dir), pred_score_thr=threshold, no_save_pred=False)

    return run


def _classifier(
    cfg: Config, model: Any, content: dict[str, Any], out_dir: Path, threshold: float, device: str
) -> Predictor:
    from mmpretrain import ImageClassificationInferencer
    from mmpretrain.registry import DATASETS

    model._config = cfg
    dataset = DATASETS.get(cfg.test_dataloader.dataset.type)
    meta = content.get('meta', {}).get('dataset_meta') or getattr(dataset, 'METAINFO', {})
    inferencer = ImageClassificationInferencer(model, device=device, classes=meta.get('classes'))

    def run(files: list[str]) -> None:
        results = inferencer(files, show_dir=str(out_dir / 'vis'))
        for result in results:
            result.pop('pred_scores')  # of all classes
        write_atomically(out_dir / 'preds.json', json.dumps(dict(zip(files, results, strict=True)), indent=2) + '\n')

    return run
