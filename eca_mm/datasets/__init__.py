from eca_mm.datasets.samplers import StepSampler
from eca_mm.datasets.shape_classes import ShapeClassesDataset
from eca_mm.datasets.shapes import ShapesDataset

__all__ = ['ShapeClassesDataset', 'ShapesDataset', 'StepSampler']
