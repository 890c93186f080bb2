"""The `eca_mm` scope.

Everything is registered in mmengine's *root* registries, where every OpenMMLab library finds it by its bare name once
its module is imported. These empty children add the scoped name: for `type='eca_mm.ECAResNet'` mmengine imports this
module by itself, asks the child, and the lookup falls through to the root. No `custom_imports` needed.

Without mmengine the layers are registered nowhere, and work all the same.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar

T = TypeVar('T')


class _NoRegistry:
    """Stand in for a registry of mmengine where that is not installed."""

    def register_module(self, *_: Any, **__: Any) -> Callable[[T], T]:
        return lambda registered: registered


if find_spec('mmengine') is not None:
    from mmengine.registry import DATA_SAMPLERS, DATASETS, MODELS, TASK_UTILS, Registry

    for _root, _location in (
        (MODELS, 'eca_mm.models'),
        (DATASETS, 'eca_mm.datasets'),
        (DATA_SAMPLERS, 'eca_mm.datasets'),
        (TASK_UTILS, 'eca_mm.models.legacy'),  # needs mmdet; imported when a name of this scope is looked up there
    ):
        Registry(_root.name, parent=_root, scope='eca_mm', locations=[_location])
else:
    MODELS = _NoRegistry()
