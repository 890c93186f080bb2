"""Reading checkpoints without running code from them."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import get_external_models, get_mmcls_models, get_torchvision_models

_multiarray = getattr(np, '_core', None) or np.core  # numpy 2 renamed it

# All that a training checkpoint of mmengine holds besides tensors and plain Python: its log history, in numpy arrays.
ALLOWED_CLASSES = [
    HistoryBuffer,
    _multiarray.multiarray._reconstruct,
    _multiarray.multiarray.scalar,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(t)) for t in (np.bool_, np.uint8, np.int32, np.uint32, np.int64, np.float32, np.float64)},
]


def _statistic(owner: type, name: str) -> Any:
    """Stands in for ``getattr``, with which HistoryBuffer pickles its methods; getattr itself could reach anything."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise pickle.UnpicklingError('GLOBAL getattr')
    return getattr(owner, name)


_ALLOWED = [
    *ALLOWED_CLASSES,
    (_statistic, 'builtins.getattr'),
    # numpy 1 and 2 write the module's name differently, so a file of one is read under the other by either name.
    *(
        (function, f'numpy.{core}.multiarray.{function.__name__}')
        for core in ('core', '_core')
        for function in (_multiarray.multiarray._reconstruct, _multiarray.multiarray.scalar)
    ),
]

# mmengine's names for files on the web.
_CATALOGUES = {
    'torchvision': get_torchvision_models,
    'modelzoo': get_torchvision_models,
    'open-mmlab': get_external_models,
    'openmmlab': get_external_models,
    'mmcls': get_mmcls_models,
}


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """Reads a checkpoint with ``torch.load(weights_only=True)``, allowing the classes in ``ALLOWED_CLASSES`` besides.

    Args:
        path: A file written by ``torch.save``, the http(s) or file URL of one, which is downloaded once, or one of
            mmengine's names for such: ``torchvision://resnet50``, ``open-mmlab://...``, ``mmcls://...``.
        map_location: As in ``torch.load``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, is not a checkpoint, or would have to run code to load; if the URL cannot
            be had; also if torch is older than 2.6, whose safe loading cannot be extended by name.
    """
    _require_torch()
    name = resolve_name(str(path))
    with torch.serialization.safe_globals(_ALLOWED):
        try:
            if '://' in name:
                checkpoint = torch.hub.load_state_dict_from_url(name, map_location=map_location, weights_only=True)
            else:
                checkpoint = torch.load(Path(name).expanduser(), map_location=map_location, weights_only=True)
        except FileNotFoundError:
            raise FileNotFoundError(f'checkpoint not found: {name}') from None
        except IsADirectoryError:
            raise ValueError(f'{name} is a folder, not a checkpoint file') from None
        except (PermissionError, URLError) as error:
            raise ValueError(f'{name} cannot be read: {error}') from error
        except torch.OutOfMemoryError:
            raise
        except pickle.UnpicklingError as error:
            raise ValueError(_refusal(name, str(error))) from error
        except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, UnicodeDecodeError, KeyError) as error:
            raise ValueError(f'{name} is truncated or not a PyTorch checkpoint ({error})') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{name} holds a {type(checkpoint).__name__}, not a dictionary of weights')
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)  # mmengine 0.x wrote `cfg`; it would run this text as Python
    return checkpoint


def _require_torch() -> None:
    if [int(part) for part in torch.__version__.split('.')[:2]] < [2, 6]:
        raise ValueError(f'loading checkpoints safely needs torch 2.6 or newer, this is {torch.__version__}')


def resolve_name(name: str) -> str:
    scheme, separator, rest = name.partition('://')
    if not separator or scheme in ('http', 'https', 'file'):
        return name
    if scheme not in _CATALOGUES:
        raise ValueError(f'{name}: only files, URLs and {", ".join(f"{s}://" for s in _CATALOGUES)} can be read')
    catalogue = _CATALOGUES[scheme]()
    if rest not in catalogue:
        raise ValueError(f'{name}: mmengine knows no {rest!r} there')
    return catalogue[rest]


def _refusal(name: str, error: str) -> str:
    needs = re.search(r'GLOBAL (\S+)|(?:class|global|function) (\S+)', error)
    if needs is None or 'Unsupported operand' in error:
        return f'{name} is not a PyTorch checkpoint, or only a part of one'
    return (
        f'{name} is refused: it needs `{needs[1] or needs[2]}` to load, and a checkpoint from elsewhere could run any '
        'code that way. Save its state_dict alone where you trust it, and load that.'
    )


def use_safe_loading() -> None:
    """Makes mmengine read every checkpoint with :func:`read_checkpoint`, for this process.

    mmengine's own loaders unpickle whatever `weights_only=True` refuses.

    Raises:
        ValueError: If torch is older than 2.6: better now than after the training.
    """
    _require_torch()
    CheckpointLoader.register_scheme(list(CheckpointLoader._schemes), read_checkpoint, force=True)


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The newest complete ``epoch_*.pth`` in a work directory, or None.

    Complete means that the archive has its directory, which `torch.save` writes last.
    """
    files = [f for f in Path(work_dir).glob('epoch_*.pth') if re.fullmatch(r'epoch_\d+', f.stem)]
    complete = [f for f in files if zipfile.is_zipfile(f)]
    return max(complete, key=lambda f: f.stat().st_mtime_ns, default=None)
