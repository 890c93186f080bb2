"""Whether the parts of a model take what the parts before them give."""

import re
from typing import Any

import torch

from eca_mm.engine.building import ConfigError

# In the order in which features pass them: a neck, a classifier's head, the dense heads of detectors.
PARTS = ('neck', 'head', 'rpn_head', 'bbox_head')

# Of torch's convolutions and linear layers; that there are as many levels as channels, necks assert.
OF_CHANNELS = re.compile('to have .* channels|cannot be multiplied')


@torch.no_grad()
def check_channels(model: Any) -> None:
    """Runs a black image of 64 x 64 pixels through a model as far as its dense heads, and leaves the model as it was.

    Args:
        model: Of a config; one whose backbone takes no such image is not looked at.

    Raises:
        ConfigError: If a part stops at features of another number of channels than its ``in_channels``.
    """
    training = {module: module.training for module in model.modules()}
    try:
        model.eval()
        _run(model)
    finally:
        for module, mode in training.items():
            module.training = mode


def _run(model: Any) -> None:
    weight = next(model.parameters(), torch.empty(0))
    try:
        features = model.backbone(weight.new_zeros(1, 3, 64, 64))
    except Exception:  # of another kind, or a bug, which training is to show
        return
    for name in PARTS:
        part, levels = getattr(model, name, None), features if isinstance(features, list | tuple) else [features]
        if part is None:
            continue
        if not all(isinstance(level, torch.Tensor) and level.ndim > 1 for level in levels):
            return
        try:
            after = part(features)
        except (RuntimeError, AssertionError) as error:
            stated: Any = getattr(part, 'in_channels', None)
            given = [level.shape[1] for level in levels]
            listed = isinstance(stated, list | tuple)
            fits = list(stated) == given if listed else {stated} == set(given)
            if stated is None or fits or (isinstance(error, RuntimeError) and not OF_CHANNELS.search(str(error))):
                return
            wanted = given if listed else given[-1]
            raise ConfigError(
                f'model.{name} has in_channels={stated}, and what is before it gives {wanted} channels: set '
                f'model.{name}.in_channels to {wanted}'
            ) from error
        except Exception:
            return
        features = after if name == 'neck' else features
