"""Image files as the tensor that a network takes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.registry import DefaultScope
from torch import Tensor

from eca_mm.engine.building import building
from eca_mm.engine.inferencers import make_inferencer


def preprocessed(model: Any, files: Sequence[Path]) -> Tensor:
    """Images (N, 3, H, W), resized, normalised and padded as in a test, on the model's device.

    Args:
        model: From :func:`eca_mm.load_model`.
        files: Images that can be read.
    """
    scope = model.cfg.get('default_scope', 'mmdet')
    with DefaultScope.overwrite_default_scope(scope), building('a pipeline for images', model.cfg.to_dict()):
        inferencer = make_inferencer(model)
        batch = next(iter(inferencer.preprocess([str(file) for file in files], batch_size=len(files))))
        return model.data_preprocessor(batch if scope == 'mmpretrain' else batch[1], False)['inputs']
