"""The embedded shapes as a task of classification: small pictures, drawn in memory."""

from functools import cache
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from eca_mm.datasets.shapes import CLASSES, VERSION, draw_image
from eca_mm.errors import UserError

NUM_IMAGES = {'train': 4000, 'val': 2000}
FIRST_SPLIT = 2  # ShapesDataset has the scenes 0 and 1


@DATASETS.register_module()
class ShapeClassesDataset(BaseDataset):
    """Which of the four shapes covers most of a picture, all shapes of a kind together.

    The scenes are those of :class:`~eca_mm.datasets.shapes.ShapesDataset`, others than in its splits, scaled to 64 x 64
    pixels: three to seven shapes of all sizes and colours that hide parts of each other. Image i of a split is always the
    same, for the same numpy and OpenCV. Samples hold ``img`` (64, 64, 3), uint8 BGR, and ``gt_label``, 0 to 3.

    Args:
        split: 'train' (4000 images) or 'val' (2000).
        size: Height and width in pixels.
        kwargs: Arguments of ``mmengine.BaseDataset``: pipeline, indices, ...

    Raises:
        UserError: For another split.
    """

    METAINFO = dict(classes=CLASSES)

    def __init__(self, split: str, size: int = 64, **kwargs: Any) -> None:
        if split not in NUM_IMAGES:
            raise UserError(f'split must be one of {sorted(NUM_IMAGES)}, got {split!r}')
        self.split, self.size = split, size
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        number = NUM_IMAGES[self.split]
        if isinstance(self._indices, int) and self._indices > 0:  # the first ones, and no others need to be drawn
            number = min(number, self._indices)
        return [dict(_sample(self.split, self.size, i)) for i in range(number)]

    def get_cat_ids(self, index: int) -> list[int]:
        """The label of an image, as mmpretrain's wrappers of datasets ask for it."""
        return [int(self.get_data_info(index)['gt_label'])]


@cache  # a comparison trains on them again and again
def _sample(split: str, size: int, i: int) -> dict[str, Any]:
    pixels, shapes = draw_image(np.random.default_rng([VERSION, FIRST_SPLIT + list(NUM_IMAGES).index(split), i]))
    areas = np.zeros(len(CLASSES))
    for shape in shapes:
        areas[shape['category_id'] - 1] += shape['area']
    image = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    return dict(img=image, img_shape=(size, size), ori_shape=(size, size), gt_label=int(areas.argmax()))
