"""The embedded dataset: coloured shapes in COCO's format, drawn on first use."""

import contextlib
import json
import os
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS
from pycocotools import mask as coco_mask

from eca_mm.errors import UserError
from eca_mm.output import write_atomically

CORNERS = {  # number of corners, angle of the first, their radii in turn
    'circle': (32, 0, (1.0,)),
    'square': (4, np.pi / 4, (1.2,)),
    'triangle': (3, -np.pi / 2, (1.2,)),
    'star': (10, -np.pi / 2, (1.25, 0.6)),
}
CLASSES = tuple(CORNERS)
IMAGE_SIZE = 160  # pixels; the smallest multiple of 32 in which every shape can be large in COCO's sense
SIZES = ((16, 31), (36, 90), (114, 150))  # sides in pixels that give small, medium and large areas
SIZE_ODDS = (0.4, 0.45, 0.15)
NUM_IMAGES = {'train': 800, 'val': 100}
TILT = np.pi / 12  # shapes stand upright, but for so much
MAX_OVERLAP = 0.25  # of two shapes, as a part of the smaller one's area
VERSION = 1  # to be raised with every change of what is drawn
PARTS = (*NUM_IMAGES, 'annotations', 'VERSION')  # the dataset is whole when the last one has its number

Mask = np.ndarray[Any, np.dtype[np.uint8]]


@DATASETS.register_module()
class ShapesDataset(CocoDataset):
    """Circles, squares, triangles and stars on clouded backgrounds, with boxes and masks in COCO's format.

    Every split is drawn on first use into ``data_root``: ``annotations/instances_{split}.json`` and
    ``{split}/000001.png``. Image i of a split is always the same, for the same numpy and OpenCV. Shapes come in COCO's
    small (area < 32^2 pixels), medium and large (> 96^2) sizes; they overlap, later ones hide parts of earlier ones,
    and boxes, areas and masks are of the visible part: a polygon where all of a shape is visible, run lengths otherwise.

    Args:
        split: 'train' (800 images of 160 x 160 pixels) or 'val' (100).
        data_root: Folder of the dataset.
        kwargs: Arguments of ``mmdet.CocoDataset``.

    Raises:
        UserError: For another split, and as :func:`draw_shapes`.
    """

    METAINFO = dict(classes=CLASSES, palette=[(220, 20, 60), (0, 90, 200), (0, 150, 60), (240, 150, 0)])

    def __init__(self, split: str, data_root: str, **kwargs: Any) -> None:
        if split not in NUM_IMAGES:
            raise UserError(f'split must be one of {sorted(NUM_IMAGES)}, got {split!r}')
        draw_shapes(data_root)
        super().__init__(
            data_root=data_root,
            ann_file=f'annotations/instances_{split}.json',
            data_prefix=dict(img=f'{split}/'),
            **kwargs,
        )


def draw_shapes(root: str | Path) -> None:
    """Draws both splits into ``root``, a new or empty folder or a link to one, unless they are there.

    Several processes may call this at once, and any may be killed: one draws, with a lock on VERSION, which is empty until
    all is drawn, and the others wait. What a killed one has left is drawn over.

    Raises:
        UserError: If ``root`` holds something else or a shapes dataset of another version, or cannot be written.
    """
    root = Path(root)
    if _is_whole(root):
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        _check_empty(root)
        with open(root / 'VERSION', 'a') as lock:
            _lock(lock)
            if not _is_whole(root):
                for index, split in enumerate(NUM_IMAGES):
                    _draw_split(root, split, index)
                (root / 'VERSION').write_text(f'{VERSION}\n')
    except OSError as error:
        raise UserError(
            f'the shapes dataset cannot be drawn ({error}); name another folder by --data-root or SHAPES_ROOT'
        ) from error


def _lock(file: IO[str]) -> None:
    """Wait for a file's lock. Without locks, on Windows or of a file system, each process draws, and the same."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _is_whole(root: Path) -> bool:
    version = root / 'VERSION'
    return version.is_file() and version.read_text().strip() == str(VERSION)


def _check_empty(root: Path) -> None:
    """Passes over what is not finished: parts, only beside an empty VERSION, which is there before them."""
    found, version = {path.name for path in root.iterdir()} - {'lost+found'}, root / 'VERSION'
    begun = version.is_file() and not version.read_text() and found <= set(PARTS)
    if found and not begun and not _is_whole(root):  # unless one has finished in between
        raise UserError(f'{root} is not a shapes dataset of version {VERSION}: remove it, or name another folder')


def _draw_split(root: Path, split: str, split_index: int) -> None:
    (root / split).mkdir(exist_ok=True)
    (root / 'annotations').mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i in range(1, NUM_IMAGES[split] + 1):
        pixels, shapes = draw_image(np.random.default_rng([VERSION, split_index, i]))
        name = f'{i:06d}.png'
        drawn = root / split / f'.{os.getpid()}.png'  # then renamed: without locks another process may read already
        if not cv2.imwrite(str(drawn), pixels):
            raise OSError(f'cannot write {drawn}: is the disk full?')
        drawn.replace(root / split / name)
        images.append(dict(id=i, file_name=name, width=IMAGE_SIZE, height=IMAGE_SIZE))
        annotations += [dict(shape, id=len(annotations) + j, image_id=i) for j, shape in enumerate(shapes, 1)]
    categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)]
    dataset = dict(images=images, annotations=annotations, categories=categories)
    write_atomically(root / 'annotations' / f'instances_{split}.json', json.dumps(dataset))


def draw_image(rng: np.random.Generator) -> tuple[Mask, list[dict[str, Any]]]:
    """One image, (160, 160, 3) BGR, and its annotations in COCO's format, without ids."""
    background = rng.integers(0, 256, 3)
    clouds = cv2.resize(rng.normal(0, 25, (8, 8, 3)), (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_CUBIC)
    pixels = np.clip(background + clouds, 0, 255).astype(np.uint8)

    shapes: list[tuple[int, Any, Mask]] = []  # class index, polygon (n, 2), mask of the whole shape
    sizes = rng.choice(len(SIZES), rng.integers(3, 8), p=SIZE_ODDS)
    for size in sorted(sizes, reverse=True):  # small ones last, lest they be hidden
        index = int(rng.integers(len(CLASSES)))
        polygon = _polygon(CLASSES[index], rng.uniform(*SIZES[size]) / 2, rng)
        (run_lengths,) = coco_mask.frPyObjects([polygon.ravel().tolist()], IMAGE_SIZE, IMAGE_SIZE)
        mask = coco_mask.decode(run_lengths)
        if any((mask & other).sum() > MAX_OVERLAP * min(mask.sum(), other.sum()) for _, _, other in shapes):
            continue
        shapes.append((index, polygon, mask))
        pixels[mask > 0] = _colour(rng, background)
    return pixels, [_annotation(shapes, i) for i in range(len(shapes))]


def _polygon(name: str, radius: float, rng: np.random.Generator) -> Any:
    """Corners of a slightly tilted shape that lies inside the image, (n, 2) in pixels."""
    corners, start, ratios = CORNERS[name]
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + start + rng.uniform(-TILT, TILT)
    points = radius * np.resize(ratios, corners)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    points -= points.min(0)
    points += rng.uniform(0, 1, 2) * np.maximum(IMAGE_SIZE - points.max(0), 0)
    return np.clip(points, 0, IMAGE_SIZE).round(1)


def _colour(rng: np.random.Generator, background: Any) -> Any:
    while True:
        colour = rng.integers(0, 256, 3)
        if np.abs(colour - background).max() > 80:  # enough contrast to be seen
            return colour


def _annotation(shapes: list[tuple[int, Any, Mask]], i: int) -> dict[str, Any]:
    """Shape i in COCO's format, as far as later shapes leave it visible."""
    index, polygon, whole = shapes[i]
    visible = whole.copy()
    for _, _, later in shapes[i + 1 :]:
        visible[later > 0] = 0
    run_lengths = coco_mask.encode(np.asfortranarray(visible))
    segmentation: Any = [polygon.ravel().tolist()]
    if (visible != whole).any():
        segmentation = dict(size=run_lengths['size'], counts=run_lengths['counts'].decode())
    return dict(
        category_id=index + 1,
        bbox=coco_mask.toBbox(run_lengths).tolist(),
        area=int(coco_mask.area(run_lengths)),
        segmentation=segmentation,
        iscrowd=0,
    )
