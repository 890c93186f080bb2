from importlib.util import find_spec

from eca_mm.datasets.guarded import GuardedDataset
from eca_mm.datasets.samplers import StepSampler
from eca_mm.datasets.seeding import SeededBatchSampler

__all__ = ['GuardedDataset', 'SeededBatchSampler', 'ShapeClassesDataset', 'ShapesDataset', 'StepSampler']

if find_spec('mmdet') and find_spec('pycocotools'):  # a classifier needs neither
    from eca_mm.datasets.shape_classes import ShapeClassesDataset
    from eca_mm.datasets.shapes import ShapesDataset
