"""Reading checkpoints without running code from them."""

import argparse
import contextlib
import json
import pickle
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from eca_mm.checkpoints import restricted
from eca_mm.checkpoints.download import is_own_download, local_file
from eca_mm.checkpoints.weights import weights_of
from eca_mm.compat import numpy_multiarray
from eca_mm.errors import UserError

_multiarray = numpy_multiarray()


def _statistic(owner: type, name: str) -> Any:
    """Stands in for ``getattr``, with which HistoryBuffer pickles its methods; getattr itself could reach anything."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise pickle.UnpicklingError('GLOBAL getattr')
    return getattr(owner, name)


# All that training checkpoints hold besides tensors and plain Python: of mmengine its log history, in numpy arrays; of timm
# and torchvision the arguments of the command, plain attributes.
_ALLOWED = [
    HistoryBuffer,
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(t)) for t in (np.bool_, np.uint8, np.int32, np.uint32, np.int64, np.float32, np.float64)},
    (_statistic, 'builtins.getattr'),
    # numpy 1 and 2 write the module's name differently, so a file of one is read under the other by either name.
    *(
        (function, f'numpy.{core}.multiarray.{function.__name__}')
        for core in ('core', '_core')
        for function in (_multiarray._reconstruct, _multiarray.scalar)
    ),
]


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """Reads a checkpoint with ``torch.load(weights_only=True)``, allowing besides what OpenMMLab's and timm's hold.

    Args:
        path: A file written by ``torch.save`` or in the format of safetensors, whatever its name, or what
            :func:`~eca_mm.checkpoints.download.local_file` finds one by: a URL, ``torchvision://resnet50``, ...
        map_location: As in ``torch.load``; safetensors are read onto the CPU.

    Returns:
        What the file holds. Of safetensors: ``state_dict`` and, if there are any, ``meta``. The text under
        ``meta['config']``, which mmengine would run as Python, is under ``meta['config_text']``.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file is truncated, is not a checkpoint, or would have to run code to load; if a URL cannot be had.
    """
    name = str(path)
    file = local_file(name)
    try:
        checkpoint = _load(file, map_location)
    except UserError as error:
        if '://' not in name or not is_own_download(file):
            raise
        file.unlink()  # else it would be read for ever, whatever there is at the URL
        raise UserError(f'{name} gave no checkpoint, and the download was removed: {error}') from error
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict):  # of nobody's training
        checkpoint.pop('meta', None)
    elif 'config' in meta:
        meta['config_text'] = meta.pop('config')  # mmengine 0.x wrote `cfg`; it would run this one
    return checkpoint


def _load(file: Path, map_location: Any) -> dict[str, Any]:
    try:
        if not file.is_file():  # a pipe would be waited for
            raise UserError(f'{file} is a {"folder" if file.is_dir() else "pipe or device"}, not a checkpoint file')
        size = file.stat().st_size
        with open(file, 'rb') as stream:
            head = stream.read(16)
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error}') from error
    if head.lstrip(b'\xef\xbb\xbf \t\r\n').startswith(b'<'):
        raise UserError(f'{file} is not a PyTorch checkpoint but a web page: download the file that the page offers')
    # Whatever its name, a file of safetensors begins with the length of its header, a JSON object.
    if file.suffix == '.safetensors' or (head[8:9] == b'{' and int.from_bytes(head[:8], 'little') < size):
        return _load_safetensors(file)
    if fault := damage(file):
        raise UserError(f'{file} is damaged: {fault}. Copy or download it again, or take an older one')
    try:
        checkpoint = restricted.load(file, map_location, _ALLOWED)
    except torch.cuda.OutOfMemoryError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(str(file), str(error))) from error
    except Exception as error:  # the file may be anything, and so may this
        reason = f' ({error})' if isinstance(error, RuntimeError | OSError) else ''
        raise UserError(f'{file} is truncated or not a PyTorch checkpoint{reason}') from error
    if not isinstance(checkpoint, dict):
        raise UserError(f'{file} holds a {type(checkpoint).__name__}, not a dictionary of weights')
    return checkpoint


def damage(file: str | Path) -> str | None:
    """What is wrong with an archive that ``torch.save`` wrote: each of its entries has a checksum, which torch does not check.

    Returns:
        None for one that is whole; also for a file that is no such archive, and has no checksum.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entry = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError) as error:
        return str(error) if zipfile.is_zipfile(file) else None
    return f'{entry} is not what its checksum says' if entry else None


def _load_safetensors(file: Path) -> dict[str, Any]:
    safetensors = import_safetensors(file)
    try:
        with safetensors.safe_open(file, 'pt') as content:
            header = content.metadata() or {}
            state = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118  (it is no dictionary)
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        raise UserError(f'{file} is truncated or not a safetensors file ({error})') from error
    meta: dict[str, Any] = {key: value for key, value in header.items() if key != 'format'}
    for key, value in meta.items():
        with contextlib.suppress(ValueError, RecursionError):  # our own are JSON; those of others stay text
            meta[key] = json.loads(value)
    return dict(state_dict=state, meta=meta) if meta else dict(state_dict=state)


def import_safetensors(file: Path) -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise UserError(f'{file} needs the package safetensors: pip install safetensors') from error
    return safetensors


def _refusal(name: str, error: str) -> str:
    needs = re.search(r'GLOBAL (\S+)|(?:class|global|function) (\S+)', error)
    if needs is None or 'Unsupported operand' in error:
        return f'{name} is not a PyTorch checkpoint, or only a part of one'
    return (
        f'{name} is refused: it needs `{needs[1] or needs[2]}` to load, and a checkpoint from elsewhere could run any '
        'code that way. Save its state_dict alone where you trust it, and load that.'
    )


def read_for_mmengine(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """A checkpoint with its weights where mmengine looks for them, so that it loads what :func:`weights_of` checks.

    mmengine looks under ``state_dict`` alone, knows no prefix but ``module.``, and passes over what it does not find.
    """
    checkpoint = read_checkpoint(path, map_location)
    weights = weights_of(checkpoint, str(path))
    same = weights.keys() == checkpoint.get('state_dict', {}).keys()
    return checkpoint if same else {**checkpoint, 'state_dict': weights}


def use_safe_loading() -> None:
    """Makes mmengine read every checkpoint with :func:`read_for_mmengine`, for this process.

    mmengine's own loaders unpickle whatever `weights_only=True` refuses.
    """
    CheckpointLoader.register_scheme(list(CheckpointLoader._schemes), read_for_mmengine, force=True)


def read_meta(file: Path) -> dict[str, Any]:
    """What a checkpoint of a training says of itself, such as its ``iter``, without reading its tensors; {} if it cannot."""
    try:
        meta = restricted.load(file, 'cpu', _ALLOWED, mmap=True)['meta']
    except Exception:  # the file may be anything, and so may this
        return {}
    return meta if isinstance(meta, dict) else {}


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The complete ``epoch_*.pth`` of the highest number in a work directory, or None.

    Complete means that the archive has its directory, which `torch.save` writes last.
    """
    files = [f for f in Path(work_dir).glob('*.pth') if re.fullmatch(r'epoch_\d+', f.stem) and zipfile.is_zipfile(f)]
    return max(files, key=lambda f: int(f.stem.split('_')[1]), default=None)
