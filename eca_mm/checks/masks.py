"""Whether a mask of COCO's format can be decoded, found out before pycocotools does it.

pycocotools 2.0.11 checks little. A polygon with a NaN or a point far outside ends the process; of run lengths that sum up
to less than the image it decodes memory that it never wrote (tried on 26 November 2026).
"""

import math
from typing import Any

FAR = 1000  # images' sides from the image: no annotator's slip, and pycocotools needs memory for every pixel of the way


def mask_fault(segmentation: Any, height: int, width: int) -> str | None:
    """What is wrong with a mask: a list of polygons or run lengths, compressed or not.

    Args:
        segmentation: The value of an annotation's ``segmentation``.
        height, width: Of its image.

    Returns:
        The fault, or None for a mask that decodes to (height, width).

    >>> mask_fault([[0, 0, 4, 0, 4, 4]], 10, 10)
    >>> mask_fault([[0, 0, 4]], 10, 10)
    'a polygon of 3 numbers'
    >>> mask_fault(dict(size=[10, 10], counts=[50, 20]), 10, 10)
    'run lengths of 70 pixels for an image of 100'
    """
    if not segmentation:
        return 'no mask'
    if isinstance(segmentation, list):
        return next((fault for p in segmentation if (fault := _polygon_fault(p, max(height, width)))), None)
    if not isinstance(segmentation, dict):
        return f'neither polygons nor run lengths: {segmentation!r:.40}'
    return _run_length_fault(segmentation, height, width)


def is_short(fault: str) -> bool:
    """Whether a fault is a polygon that mmdet passes over in training, and pycocotools refuses in evaluation."""
    return fault.startswith('a polygon of ')


def _polygon_fault(polygon: Any, side: int) -> str | None:
    if not isinstance(polygon, list):
        return f'a polygon that is no list: {polygon!r:.40}'
    if len(polygon) < 6 or len(polygon) % 2:
        return f'a polygon of {len(polygon)} number{"s" * (len(polygon) != 1)}'
    try:
        if not math.isfinite(sum(polygon)):
            return 'a polygon with a NaN or infinite number'
        if min(polygon) < -FAR * side or max(polygon) > FAR * side:
            return f'a polygon that goes to {max(polygon, key=abs):g} in an image of {side} pixels'
    except TypeError:
        return f'a polygon of other things than numbers: {polygon!r:.40}'
    return None


def _run_length_fault(mask: dict[str, Any], height: int, width: int) -> str | None:
    size, counts = mask.get('size'), mask.get('counts')
    if size != [height, width]:
        return f'run lengths for {size}, and the image is {[height, width]} (height, width)'
    if isinstance(counts, str):
        counts = _decompress(counts)
        if counts is None:
            return f'compressed run lengths that are none: {mask["counts"]!r:.40}'
    if not isinstance(counts, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in counts):
        return f'run lengths that are not whole numbers: {counts!r:.40}'
    if any(n < 0 for n in counts):
        return f'a negative run length: {next(n for n in counts if n < 0)}'
    if sum(counts) != height * width:
        return f'run lengths of {sum(counts)} pixels for an image of {height * width}'
    return None


def _decompress(text: str) -> list[int] | None:
    """Run lengths of COCO's compressed form (``rleFrString`` of its maskApi.c); None for what is not that.

    Six bits a character, from '0' on: five of the number, lowest first, the sixth says that more follow; the last one's fifth
    is the sign. From the fourth number on they are differences to the one before the last.
    """
    counts: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    return counts if shift == 0 and counts else None
