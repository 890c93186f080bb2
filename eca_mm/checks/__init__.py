"""What can be wrong with the data that a network learns from: annotations, masks, classes and images.

Knows files and numbers, no dataset class and no network. Training looks at the annotations as they are read
(``eca_mm.engine.data``), ``tools/doctor.py`` at every image too.
"""

from eca_mm.checks.coco import check_coco
from eca_mm.checks.findings import Findings, Kind
from eca_mm.checks.images import check_images, image_fault
from eca_mm.checks.masks import mask_fault
from eca_mm.checks.pipeline import GuardedPipeline, NamingPipeline, UnreadableImage, guard_images, passed_over

__all__ = [
    'Findings', 'GuardedPipeline', 'Kind', 'NamingPipeline', 'UnreadableImage', 'check_coco', 'check_images', 'guard_images',
    'image_fault', 'mask_fault', 'passed_over',
]  # fmt: skip
