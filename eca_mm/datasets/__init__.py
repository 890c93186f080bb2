from eca_mm.datasets.samplers import StepSampler
from eca_mm.datasets.shapes import ShapesDataset

__all__ = ['ShapesDataset', 'StepSampler']
