"""Pretrained weights for a backbone: all of them or an error."""

from typing import Any

from torch import Tensor, nn

from eca_mm.checkpoints.reading import read_checkpoint
from eca_mm.checkpoints.strict import check_fit


def load_backbone(backbone: nn.Module, source: str) -> None:
    """Loads pretrained weights into a backbone and makes sure that every one of its weights was in the file.

    Understands bare backbones, torchvision's and the authors' classifiers, and the classifiers and detectors that
    OpenMMLab trains: it strips ``module.``, takes what is below ``backbone.`` where there is such a thing, and passes
    over what the backbone has no part for (``fc.weight``, ``head.fc.bias``).

    Args:
        backbone: The module to fill, in place.
        source: Path or URL of a checkpoint, see :func:`read_checkpoint`.

    Raises:
        FileNotFoundError, ValueError: As :func:`read_checkpoint`, and ValueError as :func:`check_fit`; the backbone is
            then unchanged.
    """
    parts = {name for name, _ in backbone.named_children()}
    weights = {
        key: value for key, value in _backbone_weights(read_checkpoint(source)).items() if key.split('.')[0] in parts
    }
    check_fit(backbone.state_dict(), weights, f'{source} does not fit {type(backbone).__name__}')
    backbone.load_state_dict(weights, strict=False)


def _backbone_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    state_dict = checkpoint.get('state_dict', checkpoint)
    weights = {key.removeprefix('module.'): value for key, value in state_dict.items() if isinstance(value, Tensor)}
    inner = {key.removeprefix('backbone.'): value for key, value in weights.items() if key.startswith('backbone.')}
    return inner or weights
