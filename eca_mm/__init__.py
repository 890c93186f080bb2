"""ECA-Net (https://arxiv.org/abs/1910.03151) for MMDetection and MMPretrain.

Importing this package registers its layers and backbones in mmengine's root registries, so that any OpenMMLab config
finds them by name. They are attributes of the package too, ``eca_mm.ECAResNet(50)``, and so are ``load_model`` and
``predict``. What needs mmpretrain (backbones) or mmdet (datasets) and the tools' engine are imported when they are asked for.
"""

# ruff: noqa: E402
import importlib
from typing import TYPE_CHECKING, Any

from eca_mm import mmcv_ops

mmcv_ops.install()  # before anything imports mmcv's operators

from mmengine.config.utils import MODULE2PACKAGE

from eca_mm import checkpoints, models, output  # output registers the file backend eca_mm.atomic
from eca_mm.models.attention import *  # noqa: F403
from eca_mm.models.fuse import fuse_for_inference  # noqa: F401
from eca_mm.version import __version__

# `_base_ = 'eca_mm::imagenet/eca_resnet50.py'`, from now on in this process: mmengine offers nothing that works earlier.
MODULE2PACKAGE.setdefault('eca_mm', 'eca_mm')

if TYPE_CHECKING:
    from eca_mm.engine import load_model, predict
    from eca_mm.models import *  # noqa: F403

__all__ = ['__version__', 'checkpoints', 'load_model', 'models', 'output', 'predict']
__all__ += models.__all__


def __getattr__(name: str) -> Any:
    if name in models.BACKBONES:
        return getattr(models, name)
    if name in ('load_model', 'predict'):
        return getattr(importlib.import_module('eca_mm.engine'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
