"""Predictions for pictures: annotated copies and JSON."""

import json
import warnings
from collections.abc import Sequence
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


def find_images(path: str | Path) -> list[Path]:
    """The image itself, or the images of a folder by name.

    Raises:
        MissingFileError: If there is nothing there, or no image in the folder.
    """
    path = Path(path)
    images = [path] if path.is_file() else sorted(f for f in path.glob('*') if f.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise MissingFileError(f'no image at {path}: name a file, or a folder of {", ".join(IMAGE_SUFFIXES)}')
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
    stems = [f.stem for f in readable]
    if twice := [f.name for f in readable if stems.count(f.stem) > 1]:
        raise UserError(f'{", ".join(twice)} would write the same JSON file: rename them, or predict one at a time')
    _check_device(device)
    out_dir = make_folder(out_dir, '--out-dir')
    content = read_for_mmengine(checkpoint)
    model = load_model(cfg, content, str(checkpoint))
    classifies, files = cfg.get('default_scope') == 'mmpretrain', [str(f) for f in readable]
    with building('a pipeline for images', cfg.to_dict()):
        inferencer = (_classifier if classifies else _detector)(cfg.copy(), model, content, device or get_device())
    if classifies:
        results = inferencer(files, show_dir=str(out_dir / 'vis'))
        for result in results:
            result.pop('pred_scores')  # of all classes
        write_atomically(out_dir / 'preds.json', json.dumps(dict(zip(files, results, strict=True)), indent=2) + '\n')
    else:
        inferencer(files, out_dir=str(out_dir), pred_score_thr=threshold, no_save_pred=False)
    return readable


def _check_device(device: str | None) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'device {device!r} cannot be used: {str(error).splitlines()[0]}') from error


def _detector(cfg: Config, model: nn.Module, content: dict[str, Any], device: str) -> Any:
    from mmdet.apis import DetInferencer

    class Inferencer(DetInferencer):
        """With a model that has its weights; mmdet adds the classes and their colours."""

        def _init_model(self, cfg: Config, weights: None, device: str) -> nn.Module:
            self._load_weights_to_model(model, content, cfg)
            model.cfg = cfg
            return model.to(device).eval()

    return Inferencer(cfg, device=device, scope=cfg.get('default_scope', 'mmdet'))


def _classifier(cfg: Config, model: Any, content: dict[str, Any], device: str) -> Any:
    from mmpretrain import ImageClassificationInferencer
    from mmpretrain.registry import DATASETS

    model._config = cfg
    dataset = DATASETS.get(cfg.test_dataloader.dataset.type)
    meta = content.get('meta', {}).get('dataset_meta') or getattr(dataset, 'METAINFO', {})
    return ImageClassificationInferencer(model, device=device, classes=meta.get('classes'))
