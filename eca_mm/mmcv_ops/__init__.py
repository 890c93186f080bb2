"""mmcv's operators without a compiler: a stand-in for the module ``mmcv._ext`` where the real one cannot be imported.

mmcv reaches its compiled operators through one module, ``mmcv._ext``, and where mmcv was installed without a compiler
this module is missing. :func:`install` registers `extension.py` in its place: operators of torchvision and PyTorch
with the names, the arguments and the results of mmcv 2.3.6 (``csrc/pytorch/pybind.cpp``). A compiled module that can
be loaded is always used; one that cannot (built for another PyTorch) is replaced with a warning, because the results
are the same and the way to mend it is in the warning.

Scripts that import mmdet before `eca_mm`, such as mmdet's own tools, are started by
``python -m eca_mm.mmcv_ops SCRIPT ARGS``.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

EXTENSION = 'mmcv._ext'
STAND_IN = str(Path(__file__).with_name('extension.py'))
# `torch` has to be importable where mmcv is built, hence no isolation; without it mmcv's set-up skips the operators.
COMPILE = (
    'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --no-deps --force-reinstall onedl-mmcv'
    ' (after pip install torch ninja psutil "setuptools<81")'
)


def install() -> None:
    """Lets ``import mmcv._ext`` find the stand-in where there is no compiled one. Imports neither torch nor mmcv.

    Warns where mmdet was imported earlier: its modules then hold functions that only raise.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    if EXTENSION not in sys.modules and any(_lacks_operators(module) for module in list(sys.modules.values())):
        warnings.warn(
            'mmdet was imported before eca_mm and found no operators of mmcv, so that its detectors will fail: import '
            'eca_mm first, or start the script by `python -m eca_mm.mmcv_ops SCRIPT ARGS`.',
            stacklevel=2,
        )


def in_use() -> str:
    """Which operators mmcv calls in this process: 'compiled' or 'stand-in'.

    Raises:
        ImportError: If mmcv is not installed, or has no operators and :func:`install` was not called.
    """
    from mmcv import _ext

    return 'stand-in' if vars(_ext).get('IS_STAND_IN') else 'compiled'


class _Finder(MetaPathFinder):
    """Finds ``mmcv._ext`` as the other finders do, and the stand-in where they find none."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != EXTENSION:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        compiled = next((spec for spec in others if spec is not None and spec.loader is not None), None)
        if compiled is None:
            return spec_from_loader(EXTENSION, SourceFileLoader(EXTENSION, STAND_IN))
        compiled.loader = _Fallback(compiled.loader)  # type: ignore[arg-type]
        return compiled


class _Fallback(Loader):
    """Loads the compiled module, and the stand-in where that is impossible."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        try:
            return self.loader.create_module(spec)
        except ImportError as error:
            warnings.warn(
                f"mmcv's compiled operators cannot be loaded ({str(error).strip()}), so those of torchvision and PyTorch "
                f'are used; to compile them again: {COMPILE}.',
                stacklevel=2,
            )
            self.loader = SourceFileLoader(EXTENSION, STAND_IN)
            spec.origin = STAND_IN
            return None

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)


def _lacks_operators(module: ModuleType) -> bool:
    """Whether a module of mmdet defined a function that only raises, because ``mmcv.ops`` could not be imported."""
    name = getattr(module, '__name__', None)
    if not isinstance(name, str) or not name.startswith('mmdet.'):
        return False
    operators = (vars(module).get(operator) for operator in ('batched_nms', 'nms', 'roi_align', 'point_sample'))
    return any(getattr(operator, '__module__', None) == name for operator in operators)
