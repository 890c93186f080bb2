"""Scores of predictions in COCO's result format."""

import contextlib
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eca_mm.checks import mask_fault
from eca_mm.errors import MissingFileError, UserError

NAMES = ('AP', 'AP50', 'AP75', 'APS', 'APM', 'APL', 'AR1', 'AR10', 'AR100', 'ARS', 'ARM', 'ARL')
BACKENDS = ('pycocotools', 'faster-coco-eval')


def score(
    predictions: str | Path, ann_file: str | Path, backend: str = 'pycocotools'
) -> tuple[str, dict[str, float], int]:
    """COCO's twelve numbers for a result file, over all images of the annotations.

    Args:
        predictions: JSON list of ``{"image_id", "category_id", "bbox": [x, y, w, h], "score"}``, or with
            ``"segmentation"`` (run-length encoded, compressed or not, or polygons) instead of or beside the box. Pixels.
        ann_file: COCO annotations.
        backend: 'pycocotools', or 'faster-coco-eval', which is optional.

    Returns:
        'bbox' or 'segm', whichever the file holds; those of ``NAMES`` as fractions, -1 where there is nothing to detect; and
        the number of images.

    Raises:
        MissingFileError: If a file does not exist.
        UserError: If a file is not what it should be, has a box or a mask that is none, or names images or categories that
            the annotations do not have, or the backend is unknown or not installed.
    """
    coco, evaluation = _backend(backend)
    truth = _read(ann_file)
    if not isinstance(truth, dict) or not {'images', 'annotations', 'categories'} <= truth.keys():
        raise UserError(f'{ann_file} is not COCO annotations: it needs images, annotations and categories')
    with contextlib.redirect_stdout(io.StringIO()):
        reference = coco()
        reference.dataset = truth
        with _refused_by(backend, ann_file):
            reference.createIndex()
        found = _read(predictions)
        kind = _check(found, reference, predictions, ann_file)
        for number, annotation in reference.anns.items():
            image = reference.imgs.get(annotation['image_id'])
            if image and (fault := _fault(annotation, kind, image)):
                raise UserError(f'{ann_file}: annotation {number} {fault}')
        with _refused_by(backend, predictions):
            if kind == 'segm':
                found = [_mask(p, reference) for p in found]
            e = evaluation(reference, reference.loadRes(found), kind)
            e.evaluate(), e.accumulate(), e.summarize()
    return kind, dict(zip(NAMES, map(float, e.stats), strict=False)), len(truth['images'])


@contextlib.contextmanager
def _refused_by(backend: str, file: str | Path) -> Iterator[None]:
    """The libraries check nothing themselves."""
    try:
        yield
    except Exception as error:
        text = ' '.join(str(error).split())
        raise UserError(f'{file} cannot be scored by {backend}: {type(error).__name__}: {text}') from error


def _mask(prediction: dict[str, Any], reference: Any) -> dict[str, Any]:
    """With the mask in compressed run-length code, and without the box, from which pycocotools would take the area."""
    code = reference.annToRLE(prediction)
    return {**{k: v for k, v in prediction.items() if k != 'bbox'}, 'segmentation': code}


def _backend(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    if name not in BACKENDS:
        raise UserError(f'backend must be one of {", ".join(BACKENDS)}, got {name!r}')
    try:
        if name == 'faster-coco-eval':
            from faster_coco_eval import COCO
            from faster_coco_eval import COCOeval_faster as COCOeval
        else:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise UserError(f'the backend {name} is not installed: pip install {name}') from error
    return COCO, COCOeval


def _read(file: str | Path) -> Any:
    try:
        return json.loads(Path(file).read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MissingFileError(f'file not found: {file}') from error
    except (ValueError, RecursionError) as error:
        raise UserError(f'{file} is not JSON, or only a part of it: {error}') from error


def _check(found: Any, reference: Any, file: str | Path, ann_file: str | Path) -> str:
    if not isinstance(found, list) or not found or not all(isinstance(p, dict) for p in found):
        what = 'an empty list' if found == [] else f'a {type(found).__name__}'
        raise UserError(f"{file} is {what}; COCO's result format is a list of one object per detection")
    kind, place = ('segm', 'segmentation') if 'segmentation' in found[0] else ('bbox', 'bbox')
    for i, p in enumerate(found):
        if missing := [key for key in ('category_id', 'image_id', 'score', place) if key not in p]:
            raise UserError(f'{file}: detection {i} has no {", ".join(missing)}')
        if not _are_numbers([p['score']]):
            raise UserError(f'{file}: detection {i} needs a number as score, got {p["score"]!r:.40}')
        if kind == 'bbox' and (fault := _fault(p, kind, {})):
            raise UserError(f'{file}: detection {i} {fault}')
    for key, known in (('image_id', reference.imgs), ('category_id', reference.cats)):
        unknown = sorted({repr(p[key]) for p in found if not isinstance(p[key], int) or p[key] not in known})
        if unknown:
            raise UserError(f'{file}: {key} {", ".join(unknown[:3])}, {len(unknown)} in all, are not in {ann_file}')
    for i, p in enumerate(found if kind == 'segm' else []):
        if fault := _fault(p, kind, reference.imgs[p['image_id']]):
            raise UserError(f'{file}: detection {i} {fault}')
    return kind


def _fault(thing: dict[str, Any], kind: str, image: dict[str, Any]) -> str | None:
    """What is wrong with the box or the mask of a detection or an annotation: pycocotools scores it, or ends the process."""
    if kind == 'bbox':
        box = thing.get('bbox')
        if isinstance(box, list) and len(box) == 4 and _are_numbers(box) and min(box[2:]) >= 0:
            return None
        return f'needs x, y, width and height in its bbox, the latter two not below 0, got {box!r:.80}'
    height, width = image.get('height'), image.get('width')
    if not isinstance(height, int) or not isinstance(width, int):
        return f'is on an image without height and width: {image}'
    fault = mask_fault(thing.get('segmentation'), height, width)
    return fault and f'has {fault}'


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(n, int | float) and math.isfinite(n) for n in values)
