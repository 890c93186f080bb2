"""Libraries that only a part of this package needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eca_mm.errors import UserError

DISTRIBUTIONS = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmdet': 'onedl-mmdetection',
    'mmpretrain': 'onedl-mmpretrain',
}


class MissingLibraryError(UserError, ImportError):
    """A library that is needed and not installed; the message has the line that installs it."""

    def __init__(self, library: str, needed_by: str) -> None:
        super().__init__(f'{needed_by} needs {library}: pip install {DISTRIBUTIONS.get(library, library)}')


@contextmanager
def importing_for(needed_by: str) -> Iterator[None]:
    """Raise :class:`MissingLibraryError` where an import fails since a library of OpenMMLab is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in DISTRIBUTIONS:
            raise
        raise MissingLibraryError(error.name, needed_by) from error


def missing_base(library: str, needed_by: str) -> Any:
    """Make the base of a class that extends one of a library that is not installed: it raises when it is built."""

    class Missing:
        def __init__(self, *_: Any, **__: Any) -> None:
            raise MissingLibraryError(library, needed_by)

    return Missing
