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

from eca_mm.checkpoints.known import KNOWN, known_file, sha256, where_to_get
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
    if '://' in source:
        return _download(source)
    path = Path(source).expanduser()
    if source in KNOWN and not os.path.isfile(path):
        return known_file(source)
    if not os.path.exists(path):
        raise MissingFileError(f'checkpoint not found: {source}{where_to_get(path)}')
    return path


def _download_file(source: str) -> Path | None:
    """Where the download of a source is, or will be; None if the source is a file of this machine."""
    if '://' not in source:
        return None
    url = _url(source)
    parts = urlparse(url)
    if parts.scheme == 'file' and Path(url2pathname(parts.path)).is_file():
        return None
    name = os.path.basename(parts.path)
    if not _sha256_in_name(name):  # many files on the web have the same last name
        name = f'{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}'
    return Path(torch.hub.get_dir(), 'checkpoints', name)


def remove_download(source: str) -> bool:
    """Removes a download, unless it has the name under which other libraries share it; returns whether it did."""
    path = _download_file(source)
    if path is None or path.name == os.path.basename(urlparse(_url(source)).path):
        return False
    path.unlink(missing_ok=True)
    return True


def _sha256_in_name(name: str) -> str:
    """The digits of its sha256 that a file's name has, if any.

    >>> _sha256_in_name('resnet50-0676ba61.pth'), _sha256_in_name('resnet50-20200130.pth')
    ('0676ba61', '')
    """
    found = re.search(r'-(?=\d*[a-f])([0-9a-f]{8,64})\.\w+$', name)  # digits alone are a date
    return found[1] if found else ''


def _download(source: str) -> Path:
    url, path = _url(source), _download_file(source)
    parts = urlparse(url)
    if path is None:
        return Path(url2pathname(parts.path))
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        promised = _sha256_in_name(os.path.basename(parts.path))
        try:
            torch.hub.download_url_to_file(url, str(path), promised if parts.hostname in RELIABLE else None)
        except (OSError, RuntimeError) as error:  # RuntimeError: another sha256
            raise UserError(f'{source} cannot be downloaded: {error}') from error
        if promised and not (found := sha256(path)).startswith(promised):
            warnings.warn(f'{source} is another file than its name says: its sha256 is {found}', stacklevel=2)
    return path


def _url(name: str) -> str:
    scheme, _, rest = name.partition('://')
    if scheme in ('http', 'https', 'file'):
        return name
    if scheme not in _CATALOGUES:
        raise UserError(f'{name}: only files, URLs and {", ".join(f"{s}://" for s in _CATALOGUES)} can be read')
    catalogue = _CATALOGUES[scheme]()
    if rest not in catalogue:
        raise UserError(f'{name}: mmengine knows no {rest!r} there')
    return str(catalogue[rest])
