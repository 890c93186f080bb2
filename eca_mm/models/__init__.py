"""The layers, which do without mmpretrain, and the backbones, which need it and are imported when the first is asked for.

mmpretrain's models take as long to import as torch and mmengine together. Until then functions with the names of the
backbones stand in the registry, and build them.
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eca_mm.models import attention
from eca_mm.models.attention import *  # noqa: F403
from eca_mm.models.fuse import fuse_for_inference
from eca_mm.registry import MODELS

if TYPE_CHECKING:
    from eca_mm.models.backbones import *  # noqa: F403

BACKBONES = [
    'AAResNet', 'AttentionBehind', 'AttentionDenseNet', 'AttentionInceptionV3', 'AttentionMobileNetV2',
    'AttentionPreActResNet', 'AttentionResNeXt', 'AttentionResNet', 'ECAMobileNetV2', 'ECAResNet',
]  # fmt: skip
__all__ = [*attention.__all__, *BACKBONES, 'fuse_for_inference']


def __getattr__(name: str) -> Any:
    if name not in BACKBONES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module('eca_mm.models.backbones'), name)


def _builder(name: str) -> Callable[..., Any]:
    def build(**kwargs: Any) -> Any:
        return __getattr__(name)(**kwargs)

    build.__name__ = name  # for logs
    return build


for _name in BACKBONES:
    MODELS.register_module(_name, module=_builder(_name))
