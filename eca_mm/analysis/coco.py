"""Scores of predictions in COCO's result format."""

import contextlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ('AP', 'AP50', 'AP75', 'APS', 'APM', 'APL', 'AR1', 'AR10', 'AR100', 'ARS', 'ARM', 'ARL')
BACKENDS = ('pycocotools', 'faster-coco-eval')


def score(predictions: str | Path, ann_file: str | Path, backend: str = 'pycocotools') -> tuple[str, dict[str, float]]:
    """COCO's twelve numbers for a result file, over all images of the annotations.

    Args:
        predictions: JSON list of ``{"image_id", "category_id", "bbox": [x, y, w, h], "score"}``, or with
            ``"segmentation"`` (run-length encoded, or polygons) instead of or beside the box. Pixels.
        ann_file: COCO annotations.
        backend: 'pycocotools', or 'faster-coco-eval', which is optional.

    Returns:
        'bbox' or 'segm', whichever the file holds, and AP, AP50, AP75, APS, APM, APL, AR1, AR10, AR100, ARS, ARM, ARL as
        fractions; -1 where there is nothing to detect.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is not what it should be, names images or categories that the annotations do not have, or
            the backend is unknown or not installed.
    """
    coco, evaluation = _backend(backend)
    truth = _read(ann_file)
    if not isinstance(truth, dict) or not {'images', 'annotations', 'categories'} <= truth.keys():
        raise ValueError(f'{ann_file} is not COCO annotations: it needs images, annotations and categories')
    found = _read(predictions)
    kind = _check(found, truth, predictions, ann_file)
    if kind == 'segm':  # pycocotools would take the areas from the boxes
        found = [{k: v for k, v in p.items() if k != 'bbox'} for p in found]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = coco()
        reference.dataset = truth
        reference.createIndex()
        try:
            e = evaluation(reference, reference.loadRes(found), kind)
            e.evaluate(), e.accumulate(), e.summarize()
        except Exception as error:  # of a library that checks nothing itself
            raise ValueError(f'{predictions} cannot be scored by {backend}: {type(error).__name__}: {error}') from error
    return kind, dict(zip(NAMES, map(float, e.stats), strict=False))


def _backend(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    if name == 'pycocotools':
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return COCO, COCOeval
    if name == 'faster-coco-eval':
        try:
            from faster_coco_eval import COCO, COCOeval_faster
        except ImportError as error:
            raise ValueError('the backend faster-coco-eval is not installed: pip install faster-coco-eval') from error
        return COCO, COCOeval_faster
    raise ValueError(f'backend must be one of {", ".join(BACKENDS)}, got {name!r}')


def _read(file: str | Path) -> Any:
    if not Path(file).is_file():
        raise FileNotFoundError(f'file not found: {file}')
    try:
        return json.loads(Path(file).read_bytes())
    except ValueError as error:
        raise ValueError(f'{file} is not JSON, or only a part of it: {error}') from error


def _check(found: Any, truth: dict[str, Any], file: str | Path, ann_file: str | Path) -> str:
    if not isinstance(found, list) or not found or not all(isinstance(p, dict) for p in found):
        what = 'an empty list' if found == [] else f'a {type(found).__name__}'
        raise ValueError(f"{file} is {what}; COCO's result format is a list of one object per detection")
    kind = 'segm' if 'segmentation' in found[0] else 'bbox'
    needed = {'image_id', 'category_id', 'score', 'segmentation' if kind == 'segm' else 'bbox'}
    for i, p in enumerate(found):
        if not needed <= p.keys():
            raise ValueError(f'{file}: detection {i} has no {", ".join(sorted(needed - p.keys()))}')
        numbers = [p['score'], *(p['bbox'] if kind == 'bbox' and isinstance(p['bbox'], list) else [])]
        finite = all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers)
        if not finite or len(numbers) != (5 if kind == 'bbox' else 1):
            raise ValueError(f'{file}: detection {i} needs a number as score and four in its bbox, got {p}')
    for key, part in (('image_id', 'images'), ('category_id', 'categories')):
        known = {x['id'] for x in truth[part]}
        unknown = sorted({repr(p[key]) for p in found if not isinstance(p[key], int) or p[key] not in known})
        if unknown:
            raise ValueError(f'{file}: {key} {", ".join(unknown[:3])}, {len(unknown)} in all, are not in {ann_file}')
    return kind
