"""An exported detector in the place of a model, so that a test evaluates the file itself."""

from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from eca_mm.errors import UserError
from eca_mm.onnx_detector import Detector, read_image


@MODELS.register_module()
class OnnxDetector(BaseModel):
    """A whole detector's ONNX file: reads each picture itself, resizes it as its metadata say, and runs in onnxruntime.

    Args:
        file: The file, from ``eca-mm export``.
        data_preprocessor: As of any model; what it prepares is not used.
    """

    def __init__(self, file: str, data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor)
        try:
            self.detector = Detector(file, threads=torch.get_num_threads())
        except ValueError as error:
            raise UserError(str(error)) from error

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'predict') -> Any:
        """The samples with their ``pred_instances``."""
        for sample in data_samples:
            image = read_image(sample.img_path)
            sample.pred_instances = self._instances(self.detector(image), image.shape[:2])
        return data_samples

    def _instances(self, found: dict[str, np.ndarray], shape: tuple[int, ...]) -> InstanceData:
        tensors: dict[str, Tensor] = {name: torch.from_numpy(value) for name, value in found.items() if name != 'masks'}
        instances = InstanceData(bboxes=tensors['boxes'], scores=tensors['scores'], labels=tensors['labels'])
        if 'masks' in found:
            instances.masks = torch.from_numpy(self.detector.pasted(found, *shape))
        return instances
