"""Attention layers, backbones, and detectors of MMDetection 1.x, registered in mmengine's registry.

The layers need torch alone, the ResNets mmengine too. The backbones that extend mmpretrain's are imported when one of them is
used: mmpretrain may not be installed, and its import takes as long as torch's and mmengine's together. Until then functions of
their names stand in the registry, and build them.
"""

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from eca_mm.libraries import importing_for
from eca_mm.models import attention
from eca_mm.models.attention import *  # noqa: F403
from eca_mm.models.fuse import fuse_for_inference
from eca_mm.registry import MODELS

if TYPE_CHECKING:
    from eca_mm.models.backbones import *  # noqa: F403
    from eca_mm.models.backbones.densenet import AttentionDenseNet  # noqa: F401
    from eca_mm.models.backbones.inception_v3 import AttentionInceptionV3  # noqa: F401
    from eca_mm.models.backbones.mobilenet_v2 import AttentionMobileNetV2, ECAMobileNetV2  # noqa: F401

BACKBONES = {  # name: its module in eca_mm.models.backbones
    'AAResNet': 'aa_resnet',
    'AttentionBehind': 'behind',
    'AttentionPreActResNet': 'preact_resnet',
    'AttentionResNeXt': 'resnext',
    'AttentionResNet': 'resnet',
    'ECAResNet': 'resnet',
}
MMPRETRAIN_BACKBONES = {
    'AttentionDenseNet': 'densenet',
    'AttentionInceptionV3': 'inception_v3',
    'AttentionMobileNetV2': 'mobilenet_v2',
    'ECAMobileNetV2': 'mobilenet_v2',
}
_MODULES = {**BACKBONES, **MMPRETRAIN_BACKBONES}
__all__ = [*attention.__all__, *_MODULES, 'fuse_for_inference']


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    with importing_for(name):
        return getattr(importlib.import_module(f'eca_mm.models.backbones.{_MODULES[name]}'), name)


def _builder(name: str) -> Callable[..., Any]:
    def build(**kwargs: Any) -> Any:
        return __getattr__(name)(**kwargs)

    build.__name__ = name  # for logs
    return build


if find_spec('mmengine') is not None:
    importlib.import_module('eca_mm.models.backbones')  # registers its own
    for _name in MMPRETRAIN_BACKBONES:
        MODELS.register_module(_name, module=_builder(_name))
