"""Predictions for pictures: annotated copies and JSON."""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.config import Config

from eca_mm.checkpoints import check_fit, read_checkpoint, use_safe_loading
from eca_mm.engine.runner import building, weights_of

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
Predictor = Callable[[Path], Any]


def find_images(path: str | Path) -> list[Path]:
    """The image itself, or the images of a folder by name.

    Raises:
        FileNotFoundError: If there is nothing there, or no image in the folder.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f'image not found: {path}')
    images = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise FileNotFoundError(f'no image in {path}: looked for {", ".join(IMAGE_SUFFIXES)}')
    return images


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
        checkpoint: File of the weights.
        images: Image files. Ones that cannot be read are passed over with a warning.
        out_dir: Gets ``vis/NAME`` and, for detectors, ``preds/NAME.json`` (labels, scores, boxes as x1 y1 x2 y2 in
            pixels, masks as run lengths); for classifiers ``preds.json`` (label, score and class by image).
        threshold: Least score of a box that is drawn. The JSON holds all.
        device: As in torch; the first GPU or else the CPU by default.

    Returns:
        The images that were read.

    Raises:
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If the checkpoint cannot be read or does not fit, no image can be read, two have the same name
            but for the suffix, or there is no such device.
    """
    use_safe_loading()
    readable = [Path(f) for f in images if cv2.haveImageReader(str(f))]
    for file in sorted({Path(f) for f in images} - set(readable)):
        warnings.warn(f'not an image that can be read, passed over: {file}', stacklevel=2)
    if not readable:
        raise ValueError(f'none of the images can be read: {", ".join(str(f) for f in images)}')
    _check_names(readable)
    _check_device(device)
    weights = weights_of(read_checkpoint(checkpoint))
    kind = _classify if cfg.get('default_scope') == 'mmpretrain' else _detect
    with building('a model'):
        model, run = kind(cfg, str(checkpoint), Path(out_dir), threshold, device)
    check_fit(model.state_dict(), weights, f'{checkpoint} does not fit the config')
    run([str(f) for f in readable])
    return readable


def _check_names(files: list[Path]) -> None:
    stems = [f.stem for f in files]
    twice = [f.name for f in files if stems.count(f.stem) > 1]
    if twice:
        raise ValueError(f'{", ".join(twice)} would write the same JSON file: rename them, or predict one at a time')


def _check_device(device: str | None) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {device!r} cannot be used: {str(error).splitlines()[0]}') from error


def _detect(cfg: Config, checkpoint: str, out_dir: Path, threshold: float, device: str | None) -> Any:
    from mmdet.apis import DetInferencer

    inferencer = DetInferencer(cfg.copy(), checkpoint, device, scope=cfg.get('default_scope', 'mmdet'))

    def run(files: list[str]) -> None:
        inferencer(files, out_dir=str(out_dir), pred_score_thr=threshold, no_save_pred=False)

    return inferencer.model, run


def _classify(cfg: Config, checkpoint: str, out_dir: Path, threshold: float, device: str | None) -> Any:
    from mmpretrain import ImageClassificationInferencer

    inferencer = ImageClassificationInferencer(cfg.copy(), checkpoint, device)

    def run(files: list[str]) -> None:
        out_dir.mkdir(parents=True, exist_ok=True)
        results = inferencer(files, show_dir=str(out_dir / 'vis'))
        for result in results:
            result.pop('pred_scores')  # of all classes
        (out_dir / 'preds.json').write_text(json.dumps(dict(zip(files, results, strict=True)), indent=2) + '\n')

    return inferencer.model, run
