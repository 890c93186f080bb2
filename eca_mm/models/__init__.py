"""The layers, which do without mmpretrain, and the backbones, which need it."""

import warnings

from eca_mm.models import attention
from eca_mm.models.attention import *  # noqa: F403

__all__ = [*attention.__all__]

try:
    import mmpretrain  # noqa: F401
except ImportError as error:  # mmengine would swallow it, and say that `eca_mm.ECALayer` does not exist
    warnings.warn(f'eca_mm has its layers, but no backbones: mmpretrain does not import ({error})', stacklevel=2)
else:
    from eca_mm.models import backbones
    from eca_mm.models.backbones import *  # noqa: F403

    __all__ += backbones.__all__
