"""Image files, read as far as their last byte."""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from eca_mm.checks.findings import Findings, Kind

MISSING = Kind('images that are missing', 'training stops at the first one, or passes over `skip_unreadable` of them')
UNREADABLE = Kind(
    'images that cannot be read', 'training stops at the first one, or passes over `skip_unreadable` of them'
)
TRUNCATED = Kind('images that are cut off or damaged', 'training stops at a PNG, and learns the grey rest of a JPEG')
OTHER_SIZE = Kind('images of another size than annotated', 'boxes and masks are in the wrong place, or training stops')
JPEG = b'\xff\xd8'


def image_fault(path: str | Path, annotated: tuple[float, float] | None = None) -> tuple[Kind, str] | None:
    """What is wrong with an image file.

    Args:
        path: The file.
        annotated: The width and height that it should have, in pixels, where that is known.

    Returns:
        The kind of fault and the reason, or None for an image that is whole.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return MISSING, 'it does not exist'
    except IsADirectoryError:
        return UNREADABLE, 'it is a folder'
    except OSError as error:
        return UNREADABLE, error.strerror or str(error)
    if not content:
        return UNREADABLE, 'it is empty'
    # OpenCV is what training reads with: turned as its EXIF says, and grey where a JPEG is cut off, which PIL refuses.
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None or content.startswith(JPEG):
        try:
            with warnings.catch_warnings(), Image.open(BytesIO(content)) as image:
                warnings.simplefilter('ignore')  # of rare metadata, and of very large images
                image.load()
        except UnidentifiedImageError:
            if pixels is None:
                return UNREADABLE, 'it is no image'
        except Image.DecompressionBombError:
            pass  # so large that PIL alone takes it for an attack
        except Exception as error:  # PIL's readers raise what they like
            return TRUNCATED, str(error)
    if pixels is None:
        return TRUNCATED, 'OpenCV cannot decode it'
    height, width = pixels.shape[:2]
    if annotated not in (None, (width, height)):
        return OTHER_SIZE, f'{width} x {height}, annotated {annotated[0]} x {annotated[1]}'
    return None


def check_images(
    images: Sequence[tuple[str, tuple[float, float] | None]],
    findings: Findings,
    track: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> None:
    """Reads images in parallel and adds what is wrong with them.

    Args:
        images: Path and annotated (width, height), or None, of each.
        findings: Where to.
        track: Shows the progress of an iterable.
    """
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:  # which decode without Python's lock
        faults = pool.map(lambda image: image_fault(*image), images)
        for (path, _), fault in track(zip(images, faults, strict=True)):
            if fault:
                findings.add(fault[0], f'{path}: {fault[1]}')
