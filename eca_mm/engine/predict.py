"""Predictions for pictures: annotated copies and JSON."""

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from mmengine.registry import DefaultScope
from torch import nn

from eca_mm.engine.cam import draw_cam
from eca_mm.engine.config.parts import is_classifier, scope_of
from eca_mm.engine.files import require
from eca_mm.engine.inferencers import make_inferencer, read_batch, read_image
from eca_mm.engine.restored import restored_globals
from eca_mm.errors import MissingFileError, UserError
from eca_mm.output import make_folder, write_atomically

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


def find_images(path: str | Path) -> list[Path]:
    """The image itself, or the images of a folder by name.

    Raises:
        MissingFileError: If there is nothing there, or no image in the folder.
    """
    path = Path(path)
    images = (
        [path]
        if path.is_file()
        else sorted(f for f in path.glob('*') if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file())
    )
    if not images:
        raise MissingFileError(f'no image at {path}: name a file, or a folder of {", ".join(IMAGE_SUFFIXES)}')
    return images


@restored_globals()
def predict(
    model: nn.Module,
    images: str | Path | Sequence[str | Path],
    out_dir: str | Path | None = None,
    *,
    threshold: float = 0.3,
    cam: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Runs a detector or a classifier on images, with mmdet's or mmpretrain's inferencer.

    Args:
        model: From :func:`eca_mm.load_model`.
        images: An image, a folder of images, or image files. Ones that cannot be decoded are passed over with a warning.
        out_dir: Gets ``vis/NAME``, the images with what was found, and as JSON what is returned: for detectors
            ``preds/NAME.json``, for classifiers ``preds.json``. None writes nothing.
        threshold: Least score of a box that is drawn. What is returned has all.
        cam: A layer by its name in the model, such as ``backbone.layer4``, whose class activation map is drawn into
            ``cam/NAME.png`` below ``out_dir``: see :func:`eca_mm.engine.cam.draw_cam`.

    Returns:
        What was found, by the path of each image that was read. Of detectors lists: ``labels``, ``scores``, ``bboxes`` as x1
        y1 x2 y2 in pixels, and ``masks`` as run lengths; of classifiers ``pred_label``, ``pred_score`` and ``pred_class``.

    Raises:
        MissingFileError: If there is no image.
        UserError: If no image can be read, two have the same name but for the suffix, the output folder cannot be made, the
            threshold is no score, or there is no such layer.
    """
    if not 0 <= threshold <= 1:
        raise UserError(f'`threshold` must be a score from 0 to 1, got {threshold}')
    cfg: Any = model.cfg
    require(cfg, 'prediction', 'test_dataloader')
    files = _readable(find_images(images) if isinstance(images, str | Path) else images)
    stems = Counter(Path(f).stem for f in files)
    if out_dir and (twice := [f for f in files if stems[Path(f).stem] > 1]):
        raise UserError(f'{", ".join(twice)} would write the same JSON file: rename them, or predict one at a time')
    if cam and not out_dir:
        raise UserError(f'the map of {cam} is drawn into a folder: name one as out_dir')
    out = make_folder(out_dir, '`out_dir`') if out_dir else None
    with DefaultScope.overwrite_default_scope(scope_of(cfg)):  # pipelines are built in it, whatever ran before
        inferencer = make_inferencer(model)
        if cam and out:
            for file in files:
                picture = draw_cam(model, cam, read_batch(model, inferencer, [file]), threshold)
                write_atomically(out / f'cam/{Path(file).stem}.png', cv2.imencode('.png', picture)[1].tobytes())
        if is_classifier(cfg):
            found = inferencer(files, show_dir=out and str(out / 'vis'))
            for result in found:
                result.pop('pred_scores')  # of all classes
        else:
            folder = dict(out_dir=str(out)) if out else {}
            with warnings.catch_warnings():
                # A box at the border sticks out by a fraction of a pixel, of nearly every picture.
                warnings.filterwarnings('ignore', 'Warning: The (bbox|polygon) is out of bounds', UserWarning)
                found = inferencer(files, pred_score_thr=threshold, no_save_pred=False, **folder)['predictions']
    results = dict(zip(files, found, strict=True))
    if is_classifier(cfg) and out:
        write_atomically(out / 'preds.json', json.dumps(results, indent=2) + '\n')
    return results


def _readable(images: Sequence[str | Path]) -> list[str]:
    files = [str(f) for f in images]
    readable = [f for f in files if read_image(f) is not None]
    for file in sorted(set(files) - set(readable)):
        warnings.warn(f'not an image that can be read, passed over: {file}', stacklevel=4)
    if not readable:
        raise UserError(f'none of the images can be read: {", ".join(files)}')
    return readable
