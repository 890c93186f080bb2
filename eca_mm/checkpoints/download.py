"""Where a checkpoint is: a path, a URL, which is downloaded once, or a name for one of these."""

import hashlib
import os
import re
import warnings
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import torch
from mmengine.runner.checkpoint import get_external_models, get_mmcls_models, get_torchvision_models

from eca_mm.checkpoints.known import KNOWN, advice, known_file
from eca_mm.errors import MissingFileError, UserError

# mmengine's names for files on the web.
_CATALOGUES = {
    'torchvision': get_torchvision_models,
    'modelzoo': get_torchvision_models,
    'open-mmlab': get_external_models,
    'openmmlab': get_external_models,
    'mmcls': get_mmcls_models,
}
RELIABLE = ('download.pytorch.org',)  # hosts whose names of files never have another sha256


def local_file(source: str) -> Path:
    """The local file of a path, a URL, or a name.

    A download whose name has digits of its sha256, such as ``resnet50-0676ba61.pth``, is compared with them, and is where
    torch.hub has it, for other libraries too. PyTorch's names are relied upon; OpenMMLab's have been wrong, so that another
    file is a warning there.

    Args:
        source: A path, an http(s) or file URL, a name of :data:`eca_mm.checkpoints.known.KNOWN`, or one of mmengine's:
            ``torchvision://resnet50``, ``open-mmlab://...``, ``mmcls://...``.

    Raises:
        MissingFileError: If there is no such file; for one of the authors' with where to get it.
        UserError: For a URL that cannot be had or, of PyTorch, gives another file, or an unknown name with ``://``.
    """
    scheme, _, rest = source.rpartition('://')
    if scheme not in ('', 'file'):
        return _download(source, scheme, rest)
    path = Path(url2pathname(rest)) if scheme else Path(source).expanduser()
    try:
        exists, is_file = path.exists(), path.is_file()
    except OSError as error:  # too long a name
        raise MissingFileError(f'checkpoint not found: {source[:100]}... ({error.strerror})') from error
    if source in KNOWN and not is_file:
        return known_file(source)
    if not exists:
        raise MissingFileError(f'checkpoint not found: {source}{advice(path)}')
    return path


def is_own_download(file: Path) -> bool:
    """Whether only this package knows the file: a download under another name than it has on the web."""
    return file.parent == _folder() and re.match('[0-9a-f]{8}-', file.name) is not None


def _folder() -> Path:
    return Path(torch.hub.get_dir(), 'checkpoints')


def _download(source: str, scheme: str, name: str) -> Path:
    url = source
    if scheme not in ('http', 'https'):
        if scheme not in _CATALOGUES:
            raise UserError(f'{source}: only files, URLs and {", ".join(f"{s}://" for s in _CATALOGUES)} can be read')
        if (found := _CATALOGUES[scheme]().get(name)) is None:
            raise UserError(f'{source}: mmengine knows no {name!r} there')
        url = str(found)
    try:
        parts = urlparse(url)
        parts.port  # noqa: B018  (checks it)
    except ValueError as error:
        raise UserError(f'{source} is no URL: {error}') from error
    name = os.path.basename(parts.path)
    digits = re.search(r'-(?=\d*[a-f])([0-9a-f]{8,64})\.\w+$', name)  # of its sha256; digits alone are a date
    promised = digits[1] if digits else ''
    if not promised:  # many files on the web have the same last name
        name = f'{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}'
    path = _folder() / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), promised if parts.hostname in RELIABLE else None)
        except (OSError, RuntimeError) as error:  # RuntimeError: another sha256
            raise UserError(f'{source} cannot be downloaded: {error}') from error
        if not (sha256 := hashlib.sha256(path.read_bytes()).hexdigest()).startswith(promised):
            warnings.warn(f'{source} is another file than its name says: its sha256 is {sha256}', stacklevel=3)
    return path
