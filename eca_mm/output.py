"""Writing files: whole or not at all, and only where that is allowed."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

from mmengine.fileio import LocalBackend, register_backend

from eca_mm.errors import ExistingFileError, UserError, WriteError

TEMPORARY = '.{}.eca_mm.tmp'
FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk, or a user's part of it
ROOM = ': make room there, or name another file'
SIZE = ': raise the limit of file sizes (ulimit -f)'


def check_output(path: str | Path, *, force: bool = False) -> Path:
    """Makes sure that a file may be written, before the work that it is to hold is done.

    Args:
        path: The file; its folder need not exist.
        force: Allow to write over a file that exists.

    Returns:
        The path, with ``~`` expanded.

    Raises:
        ExistingFileError: If the file exists, without ``force``.
        UserError: If it is a folder, or its folder cannot be made or written into.
    """
    path = Path(path).expanduser()
    with _sentence(path):
        path.resolve()  # a loop of links
        stream = _is_stream(path)
        if path.is_dir():
            raise UserError(f'{path} is a folder, not a file: name a file')
        if path.exists() and not force and not stream:
            raise ExistingFileError(f'{path} exists: name another file, or write over it with `force=True`')
    if not stream:
        make_folder(path.parent)
    return path


def make_folder(path: str | Path, option: str = '') -> Path:
    """Makes an output folder, if there is none.

    Args:
        path: The folder.
        option: The option that named it, for the message.

    Raises:
        UserError: If it cannot be made or written into.
    """
    path, named = Path(path).expanduser(), f'{option}: ' if option else ''
    what = 'made a folder'
    try:
        path.mkdir(parents=True, exist_ok=True)
        what = 'written into'
        with TemporaryFile(dir=path) as probe:
            probe.write(bytes(65536))
            probe.flush()
    except OSError as error:
        room = 'make room there, or ' if error.errno in FULL else ''
        raise UserError(f'{named}{path} cannot be {what} ({_reason(error)}): {room}choose another folder') from error
    return path


@contextlib.contextmanager
def full_disk(folder: str | Path, advice: str) -> Iterator[None]:
    """Make a sentence of what libraries raise when a disk is full, and give that of our own writing better advice.

    Args:
        folder: Named if the error names no file.
        advice: What to do, besides making room.

    Raises:
        UserError: With the file or folder.
    """
    try:
        yield
    except UserError as error:
        if not str(error).endswith(ROOM):
            raise
        raise UserError(f'{str(error).removesuffix(ROOM)}: make room there{advice}') from error
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise UserError(f'{error.filename or folder} cannot be written ({error.strerror}){SIZE}') from error
        if error.errno not in FULL:
            raise
        what = f'{error.filename or folder} cannot be written ({error.strerror})'
        raise UserError(f'{what}: make room there{advice}') from error


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Writes a file so that a kill leaves the old one or the new one, never half of one.

    The content goes to a temporary file beside it, onto the disk, and is then renamed. That file is nobody else's: its name
    is random, and it must not exist. The file's folder is made. Of a link, the file is replaced that it leads to. A terminal, a
    pipe or a device is written to directly.

    Raises:
        WriteError: If the file cannot be written, with the reason.
    """
    path = Path(path).expanduser()
    data = content.encode(errors='surrogateescape') if isinstance(content, str) else content
    with _sentence(path):
        if _is_stream(path):
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)
    return path


@contextlib.contextmanager
def _sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        shown = path if len(str(path)) < 200 else f'{str(path)[:200]}...'
        number = getattr(error, 'errno', None)
        advice = ROOM if number in FULL else SIZE if number == errno.EFBIG else ': name another file'
        raise WriteError(f'{shown} cannot be written ({_reason(error)}){advice}') from error


def _is_stream(path: Path) -> bool:
    # `/dev/stdout` may lead to a regular file that the shell holds open: replacing it would lose what else is printed.
    # Not so what is below /dev/shm, a file system.
    return (path.exists() and not path.is_file()) or str(path.parent) in ('/dev', '/dev/fd', '/proc/self/fd')


def _reason(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error)


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(TEMPORARY.format(secrets.token_hex(8)))
    with open(temporary, 'xb') as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # the bytes are on the disk before the name is
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


class AtomicBackend(LocalBackend):
    """mmengine's local file backend with :func:`write_atomically` for its ``put``.

    Registered as ``eca_mm.atomic``, for ``CheckpointHook(backend_args=dict(backend='eca_mm.atomic'))``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        write_atomically(filepath, obj)


register_backend('eca_mm.atomic', AtomicBackend, force=True)
