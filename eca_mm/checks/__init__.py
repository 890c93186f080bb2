"""Checks of the data that a network learns from: annotations, masks, classes and images.

They know files and numbers, no dataset class and no network. Training checks the annotations as they are read
(``eca_mm.datasets.guarded``), ``tools/doctor.py`` every image too.
"""

from eca_mm.checks.coco import check_coco
from eca_mm.checks.findings import Findings, Kind
from eca_mm.checks.images import check_images, image_fault
from eca_mm.checks.masks import mask_fault
from eca_mm.checks.pipeline import NamingPipeline, UnreadableImage, unreadable_image

__all__ = [
    'Findings', 'Kind', 'NamingPipeline', 'UnreadableImage', 'check_coco', 'check_images', 'image_fault', 'mask_fault',
    'unreadable_image',
]  # fmt: skip
