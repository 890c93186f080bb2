"""Networks for other runtimes, and published checkpoints.

The package is callable: ``eca_mm.export(...)`` is :func:`export`, also after this package was imported under the same name.
"""

import sys
from types import ModuleType

from eca_mm.export.network_file import ExportReport, export
from eca_mm.export.release import Release, release

__all__ = ['ExportReport', 'Release', 'export', 'release']


class _Callable(ModuleType):
    __call__ = staticmethod(export)


sys.modules[__name__].__class__ = _Callable
