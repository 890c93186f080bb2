"""Annotations in COCO's format, as mmdet's CocoDataset and CocoMetric will read them."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from eca_mm.checks.findings import Findings, Kind
from eca_mm.checks.masks import is_short, mask_fault

_LOST = 'mmdet reads one of them, and gives it the annotations of all'
NO_LIST = Kind('lists that are missing', "COCO's format has the lists images, annotations and categories")
NO_KEY = Kind(
    'images, annotations or categories without a key or its value', 'mmdet stops with a KeyError or TypeError'
)
TWICE_IMAGE = Kind('image ids that occur twice', _LOST)
TWICE_ANNOTATION = Kind('annotation ids that occur twice', 'mmdet refuses the file')
TWICE_CATEGORY = Kind('ids or names of categories that occur twice', 'objects get the wrong class')
NO_CATEGORY = Kind(
    'classes of the config that the file has no category for', 'all classes after it get the wrong number'
)
ORDER = Kind('classes in another order than in the file', "mmdet numbers them in the file's order: write them so")
UNUSED = Kind('categories that are no class of the config', 'their objects are passed over', fails=False)
UNKNOWN_CATEGORY = Kind('objects of a category that the file does not list', 'they are passed over', fails=False)
UNKNOWN_IMAGE = Kind('annotations of an image that the file does not list', 'they are passed over', fails=False)
IMAGE_SIZE = Kind('images whose width or height is no positive whole number', 'boxes and masks cannot be placed')
TWICE_FILE = Kind('image files that are listed twice', 'they count twice', fails=False)
NO_BOX = Kind('boxes that are not four finite numbers', 'mmdet stops, or the loss becomes NaN')
NEGATIVE_BOX = Kind(
    'boxes of negative width or height', 'they are passed over: COCO has x, y, width, height', fails=False
)
EMPTY_BOX = Kind('boxes less than a pixel wide or high', 'they are passed over', fails=False)
OUTSIDE = Kind('boxes outside the image', 'they are passed over', fails=False)
PARTLY_OUTSIDE = Kind(
    'boxes partly outside the image, by more than a pixel', 'they are learnt as they are', fails=False
)
NO_AREA = Kind('objects whose area is no finite number', 'mmdet stops, or counts them for no size of object')
EMPTY_AREA = Kind('objects whose area is not positive', 'they are passed over', fails=False)
BAD_MASK = Kind('masks that do not decode', 'training stops, or pycocotools ends the process')
SHORT_POLYGON = Kind('polygons of too few or an odd number of numbers', 'they are passed over in training', fails=False)
SHORT_EVALUATED = Kind('polygons of too few or an odd number of numbers', 'the evaluation of masks stops')
NO_OBJECT = Kind('images without a usable object', 'training passes them over; in validation they count', fails=False)
NOTHING = Kind('files without a usable object', 'there is nothing to learn')

LISTS = ('images', 'annotations', 'categories')
KEYS = dict(
    images=('id', 'file_name', 'width', 'height'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'),
)
# What must be of a kind for anything to be looked up; of boxes, areas and sizes there are kinds of fault of their own.
KINDS = {'file_name': 'text'} | dict.fromkeys(('id', 'image_id', 'category_id', 'name'), 'a number or text')


def check_coco(
    content: Any, classes: Sequence[str] | None = None, *, masks: bool = False, evaluated: bool = False
) -> Findings:
    """Looks at every annotation of a file in COCO's format.

    Args:
        content: The parsed file.
        classes: Those of the config; None for the file's own.
        masks: Whether masks are read.
        evaluated: Whether the file is what predictions are compared with.
    """
    findings = Findings()
    if evaluated and isinstance(content, dict):  # a test set whose annotations are kept from us
        content = {'annotations': [], **content}
    for name in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            findings.add(NO_LIST, name)
    for where in () if findings.places else _lacking(content):
        findings.add(NO_KEY, where)
    if findings.places:  # nothing below could be relied on
        return findings
    _check_ids(content, findings)
    _check_classes(content['categories'], classes, findings)
    _check_images(content['images'], findings)
    _check_objects(content, classes, findings, masks, evaluated)
    return findings


def count_classes(content: dict[str, Any]) -> dict[str, int]:
    """Objects by category, in the file's order."""
    counts = Counter(a['category_id'] for a in content.get('annotations', []))
    return {c['name']: counts[c['id']] for c in content['categories']}


def _lacking(content: dict[str, Any]) -> Iterator[str]:
    for name, keys in KEYS.items():
        for i, entry in enumerate(content[name]):
            of_entry = entry if isinstance(entry, dict) else {}
            lacks = next((key for key in keys if key not in of_entry or not _is_usable(key, of_entry[key])), None)
            if lacks is not None:
                where = f'{name}[{i}]' + (f' (id {entry["id"]})' if lacks != 'id' else '')
                got = f' that is {KINDS[lacks]}, got {entry[lacks]!r:.40}' if lacks in of_entry else ''
                yield f'{where} has no {lacks!r}{got}'


def _is_usable(key: str, value: Any) -> bool:
    """Files are opened by their names, and ids and names are keys of dictionaries, so no lists; numbers are checked below."""
    return isinstance(value, str) if key == 'file_name' else key not in KINDS or not isinstance(value, (list, dict))


def _check_ids(content: dict[str, Any], findings: Findings) -> None:
    for kind, name, key in (
        (TWICE_IMAGE, 'images', 'id'),
        (TWICE_FILE, 'images', 'file_name'),
        (TWICE_ANNOTATION, 'annotations', 'id'),
        (TWICE_CATEGORY, 'categories', 'id'),
        (TWICE_CATEGORY, 'categories', 'name'),
    ):
        for value, count in Counter(str(entry[key]) for entry in content[name]).items():
            if count > 1:
                findings.add(kind, f'{key} {value}, {count} times')


def _check_classes(categories: list[dict[str, Any]], classes: Sequence[str] | None, findings: Findings) -> None:
    if classes is None:
        return
    names = [category['name'] for category in categories]
    has = f'; the file has {", ".join(map(repr, names[:10]))}{", ..." * (len(names) > 10)}'
    for i, name in enumerate(c for c in classes if c not in names):
        findings.add(NO_CATEGORY, f'{name!r}{has * (i == 0)}')
    for name in (n for n in names if n not in classes):
        findings.add(UNUSED, repr(name))
    in_file = [name for name in names if name in classes]
    if set(in_file) == set(classes) and in_file != list(classes):
        findings.add(ORDER, f'classes = {tuple(in_file)!r}')


def _check_images(images: list[dict[str, Any]], findings: Findings) -> None:
    for image in images:
        if not _has_size(image):
            findings.add(IMAGE_SIZE, f'{image["file_name"]}: {image["width"]!r} x {image["height"]!r}')


def _check_objects(
    content: dict[str, Any], classes: Sequence[str] | None, findings: Findings, masks: bool, evaluated: bool
) -> None:
    images = {image['id']: image for image in content['images']}
    categories = {c['id'] for c in content['categories']}
    used = {c['id'] for c in content['categories'] if classes is None or c['name'] in classes}
    with_object = set()
    for a in content['annotations']:
        image = images.get(a['image_id'])
        if image is None:
            findings.add(UNKNOWN_IMAGE, f'annotation {a["id"]}: image {a["image_id"]}')
            continue
        if a['category_id'] not in categories:
            findings.add(UNKNOWN_CATEGORY, f'{_where(a, image)}: category {a["category_id"]}')
        if a['category_id'] not in used or not _has_size(image):
            continue
        kind = _box_fault(a['bbox'], image['width'], image['height'])
        if kind:
            findings.add(kind, f'{_where(a, image)}: {a["bbox"]}')
        elif kind := _area_fault(a['area']):
            findings.add(kind, f'{_where(a, image)}: {a["area"]}')
        learnt = kind is None or kind is PARTLY_OUTSIDE
        if learnt and not a.get('iscrowd'):
            with_object.add(a['image_id'])
        if not masks or not (learnt or evaluated):
            continue
        if fault := mask_fault(a.get('segmentation'), image['height'], image['width']):
            kind = (SHORT_EVALUATED if evaluated else SHORT_POLYGON) if is_short(fault) else BAD_MASK
            findings.add(kind, f'{_where(a, image)}: {fault}')
    if not with_object and not evaluated:
        findings.add(NOTHING, f'{len(images)} images, {len(content["annotations"])} annotations')
    for i, image in images.items() if with_object else ():
        if i not in with_object:
            findings.add(NO_OBJECT, str(image['file_name']))


def _has_size(image: dict[str, Any]) -> bool:
    sides = image['width'], image['height']
    return all(isinstance(side, int | float) and side > 0 and side == side // 1 for side in sides)


def _where(annotation: dict[str, Any], image: dict[str, Any]) -> str:
    return f'annotation {annotation["id"]} of {image["file_name"]}'


def _box_fault(box: Any, width: int, height: int) -> Kind | None:
    """What CocoDataset.parse_data_info makes of a box, or does not notice."""
    try:
        x, y, w, h = box
        if not math.isfinite(x + y + w + h):
            return NO_BOX
    except (TypeError, ValueError):
        return NO_BOX
    if w < 0 or h < 0:
        return NEGATIVE_BOX
    if w < 1 or h < 1:
        return EMPTY_BOX
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        return OUTSIDE
    if min(x, y) < -1 or x + w > width + 1 or y + h > height + 1:
        return PARTLY_OUTSIDE
    return None


def _area_fault(area: Any) -> Kind | None:
    if not isinstance(area, int | float) or not math.isfinite(area):
        return NO_AREA
    return EMPTY_AREA if area <= 0 else None
