"""``torch.load(weights_only=True)`` with more names than torch allows, on every torch from 2.0 on."""

import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from eca_mm.compat import TORCH

# An object, or an object and the name that it has in pickles.
Allowed = Sequence[Any]


def load(file: Path, map_location: Any, allowed: Allowed, mmap: bool = False) -> Any:
    """Load what ``torch.save`` wrote, and refuse every name but torch's own for weights and the allowed ones.

    Args:
        mmap: Map tensors into memory instead of reading them, from torch 2.1 on.

    Raises:
        pickle.UnpicklingError: For any other name, which stands after ``GLOBAL`` in the message.
    """
    options: dict[str, Any] = dict(mmap=True) if mmap and TORCH >= (2, 1) else {}
    if TORCH >= (2, 6):  # the first that takes an object and its name
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(file, map_location=map_location, weights_only=True, **options)
    _check_format(file)
    module = SimpleNamespace(
        __name__='restricted', Unpickler=_unpickler(allowed), UnpicklingError=pickle.UnpicklingError
    )
    module.load = lambda stream, **options: module.Unpickler(stream, **options).load()
    return torch.load(file, map_location=map_location, pickle_module=module, weights_only=False, **options)


def _check_format(file: Path) -> None:
    """Refuse what an older torch opens by other means than its ``pickle_module``."""
    if not zipfile.is_zipfile(file):
        with open(file, 'rb') as stream:
            if stream.read(1) != b'\x80':  # a pickle's; a tar archive, of torch before 0.2, begins with a name
                raise EOFError('neither an archive nor a pickle')
        return
    with zipfile.ZipFile(file) as archive:
        if any(Path(name).name == 'constants.pkl' for name in archive.namelist()):
            raise pickle.UnpicklingError('GLOBAL torch.jit.load')


def _unpickler(allowed: Allowed) -> type:
    from torch._weights_only_unpickler import _get_allowed_globals

    names: dict[str, Any] = {
        **_get_allowed_globals(),
        **{str(dtype): dtype for dtype in (torch.bfloat16, torch.bool, torch.uint8)},
        'torch.device': torch.device,
        '_codecs.encode': _encode,
    }
    for entry in allowed:
        value, name = entry if isinstance(entry, tuple) else (entry, f'{entry.__module__}.{entry.__qualname__}')
        names[name] = value
    # The state of any other object, such as a class, could replace its methods.
    with_state = {value for value in names.values() if isinstance(value, type)}

    python_unpickler: Any = vars(pickle)['_Unpickler']

    class Unpickler(python_unpickler):  # in Python, whose operations can be replaced
        dispatch = dict(python_unpickler.dispatch)

        def find_class(self, module: str, name: str) -> Any:
            module = 'builtins' if module == '__builtin__' else module  # as Python 2 and protocol 2 name it
            if (full := f'{module}.{name}') not in names:
                raise pickle.UnpicklingError(f'GLOBAL {full}')
            return names[full]

        def load_build(self) -> None:
            if type(self.stack[-2]) not in with_state:
                raise pickle.UnpicklingError(f'GLOBAL state of {type(self.stack[-2]).__name__}')
            super().load_build()

        dispatch[pickle.BUILD[0]] = load_build

    return Unpickler


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for ``codecs.encode``, with which protocol 2 writes bytes; other encodings would run Python's codecs."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError('GLOBAL _codecs.encode')
    return text.encode('latin1')
