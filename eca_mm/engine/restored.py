"""Runs that leave mmengine's state of the process as it was."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.runner import CheckpointLoader
from mmengine.utils import ManagerMixin

from eca_mm.checkpoints import use_safe_loading


@contextmanager
def restored_globals() -> Iterator[None]:
    """Reads checkpoints safely, and leaves mmengine's state of the process as it was before.

    That state is the loaders of checkpoints, the default scope, and the current logger, message hub and visualizer.
    """
    schemes = CheckpointLoader._schemes.copy()
    instances = {manager: manager._instance_dict.copy() for manager in _managers()}
    use_safe_loading()
    try:
        yield
    finally:
        CheckpointLoader._schemes = schemes
        for manager in _managers():
            manager._instance_dict = instances.get(manager, OrderedDict())


def _managers(base: Any = ManagerMixin) -> list[Any]:
    return [m for manager in base.__subclasses__() for m in (manager, *_managers(manager))]
