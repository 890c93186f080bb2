"""Weights from files and names, and into files: tensors and plain metadata, never code."""

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse
from urllib.request import url2pathname

import torch
from torch import Tensor

from eca_mm.checkpoints.known import KNOWN, known_file, timm_weights
from eca_mm.checkpoints.reading import read_checkpoint, resolve_name
from eca_mm.checkpoints.writing import AtomicBackend

SUFFIXES = ('.pth', '.safetensors')


@dataclass
class Weights:
    """The weights in a checkpoint, and what else it held.

    Attributes:
        tensors: Its state dict.
        path: The file; None for weights that never were in one.
        dropped: Name of each other entry -> why it is left out.
        config: The text of the config with which OpenMMLab's libraries trained it, if any.
    """

    tensors: dict[str, Tensor]
    path: Path | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    config: str = ''


def read_weights(source: str) -> Weights:
    """Reads the weights of a checkpoint without running code from it.

    Args:
        source: A file of torch.save or of safetensors, a URL of one, a name of :data:`eca_mm.checkpoints.known.KNOWN`,
            ``timm://NAME``, or one of mmengine's names, such as ``torchvision://resnet50``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be had or read, as :func:`read_checkpoint`, or if it holds no weights.
    """
    if source.startswith('timm://'):
        return Weights(timm_weights(source.removeprefix('timm://')))
    path = fetch(source)
    if path.suffix == '.safetensors':
        return Weights(_read_safetensors(path), path)
    checkpoint = read_checkpoint(path)
    wrapper = next((key for key in ('state_dict', 'model') if isinstance(checkpoint.get(key), dict)), None)
    state = checkpoint[wrapper] if wrapper else checkpoint
    tensors = {str(key): value.detach() for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f'{source} holds no weights: its entries are {", ".join(map(str, list(state)[:5])) or "none"}')
    others = {str(key) for entries in (state, checkpoint) for key in entries} - {*tensors, wrapper}
    meta = checkpoint.get('meta')
    config = str(meta.get('cfg') or '') if isinstance(meta, dict) else ''
    return Weights(tensors, path, dict.fromkeys(sorted(others), 'state of the training, not weights'), config)


def fetch(source: str) -> Path:
    """The local file of a path, a URL, or a name.

    A download whose name ends in digits of its sha256, as those of torchvision, timm and OpenMMLab do, is held to them:
    ``resnet50-0676ba61.pth``.

    Raises:
        FileNotFoundError: For a known file that is not there.
        ValueError: For a URL that cannot be had or gives another file, or an unknown name with ``://``.
    """
    path = Path(source).expanduser()
    if source in KNOWN and not path.is_file():
        return known_file(source)
    if '://' not in source:
        return path
    url = resolve_name(source)
    parts = urlparse(url)
    if parts.scheme == 'file' and Path(url2pathname(parts.path)).is_file():
        return Path(url2pathname(parts.path))
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]  # many files on the web have the same last name
    path = Path(torch.hub.get_dir(), 'checkpoints', f'{digest}-{os.path.basename(parts.path)}')
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        promised = re.search(r'-(?=\d*[a-f])([0-9a-f]{8,64})\.\w+$', os.path.basename(parts.path))  # not a date
        try:
            torch.hub.download_url_to_file(url, str(path), promised and promised[1])
        except (URLError, OSError, RuntimeError) as error:  # RuntimeError: another sha256
            raise ValueError(f'{source} cannot be downloaded: {error}') from error
    return path


def write_weights(tensors: Mapping[str, Tensor], meta: dict[str, Any], path: Path, *, bare: bool = False) -> None:
    """Writes a checkpoint, the whole of it or nothing.

    ``.safetensors`` has the metadata in its header, each value as JSON; ``.pth`` is ``dict(state_dict=..., meta=...)``.

    Args:
        bare: A ``.pth`` of tensors alone, without metadata.

    Raises:
        ValueError: If the file cannot be written.
    """
    state = {key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    if path.suffix == '.safetensors':
        header = {'format': 'pt', **{key: json.dumps(value) for key, value in meta.items()}}
        data = _safetensors(path).save(state, header)
    else:
        buffer = io.BytesIO()
        torch.save(state if bare else dict(state_dict=state, meta=meta), buffer)
        data = buffer.getvalue()
    try:
        AtomicBackend().put(data, path)
    except OSError as error:
        raise ValueError(f'{path} cannot be written: {error}') from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint not found: {path}')
    library = _safetensors(path)
    try:
        return library.load_file(path)
    except Exception as error:  # safetensors has its own class, and torch's RuntimeError
        raise ValueError(f'{path} is truncated or not a safetensors file ({error})') from error


def _safetensors(path: Path) -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ValueError(f'{path} needs the package safetensors: pip install safetensors') from error
    return safetensors.torch
