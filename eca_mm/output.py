"""Writing files: whole or not at all, and only where that is allowed."""

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

from mmengine.fileio import LocalBackend, register_backend

from eca_mm.errors import ExistingFileError, UserError

TEMPORARY = '.{}.eca_mm.tmp'
FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk, or a user's part of it


class FullDiskError(UserError):
    """A file that cannot be written because its disk is full.

    Args:
        what: Says so of the file.
        advice: What to do, besides making room.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what, advice)
        self.what = what

    def __str__(self) -> str:
        return ': make room there'.join(self.args)


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
            raise ExistingFileError(f'{path} exists: name another file, or write over it with --force')
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
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{named}{path} cannot be made a folder ({_reason(error)}): choose another') from error
    if not os.access(path, os.W_OK):
        raise UserError(f'{named}{path} cannot be written into: choose another folder')
    try:
        with TemporaryFile(dir=path) as probe:
            probe.write(bytes(65536))
            probe.flush()
    except OSError as error:
        raise UserError(
            f'{named}{path} cannot be written into ({_reason(error)}): make room there, or choose another folder'
        ) from error
    return path


@contextlib.contextmanager
def full_disk(folder: str | Path, advice: str) -> Iterator[None]:
    """Makes a sentence of what libraries raise when a disk is full, and gives that of our own writing better advice.

    The log is on that disk too: that it cannot be written is not told line by line, with a traceback each.

    Args:
        folder: Which is named if the error names no file.
        advice: What to do, besides making room.

    Raises:
        FullDiskError: With the file or folder.
    """
    handle = logging.Handler.handleError

    def handle_error(self: logging.Handler, record: logging.LogRecord) -> None:
        if getattr(sys.exc_info()[1], 'errno', None) not in FULL:
            handle(self, record)

    logging.Handler.handleError = handle_error  # type: ignore[method-assign]
    try:
        yield
    except FullDiskError as error:
        raise FullDiskError(error.what, advice) from error
    except OSError as error:
        if isinstance(error, UserError) or error.errno not in FULL:
            raise
        raise FullDiskError(f'{error.filename or folder} cannot be written ({error.strerror})', advice) from error
    finally:
        logging.Handler.handleError = handle  # type: ignore[method-assign]


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Writes a file so that a kill leaves the old one or the new one, never half of one.

    The content goes to a temporary file beside it, onto the disk, and is then renamed. That file is nobody else's: its name
    is random, and it must not exist. What a kill left of an earlier one is removed. The file's folder is made. Of a link, the
    file is replaced that it leads to. A terminal, a pipe or a device is written to directly.

    Raises:
        UserError: If the file cannot be written, with the reason.
    """
    path = Path(path).expanduser()
    data = content.encode() if isinstance(content, str) else content
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
    except ExistingFileError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        shown = path if len(str(path)) < 200 else f'{str(path)[:200]}...'
        what = f'{shown} cannot be written ({_reason(error)})'
        if getattr(error, 'errno', None) in FULL:
            raise FullDiskError(what, ', or name another file') from error
        raise UserError(f'{what}: make room there, or name another file') from error


def _is_stream(path: Path) -> bool:
    # `/dev/stdout` may lead to a regular file that the shell holds open: replacing it would lose what else is printed.
    # Not so what is below /dev/shm, a file system.
    return (path.exists() and not path.is_file()) or str(path.parent) in ('/dev', '/dev/fd', '/proc/self/fd')


def _reason(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error)


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    _clean(target.parent)
    temporary = target.with_name(TEMPORARY.format(secrets.token_hex(8)))
    with open(temporary, 'xb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # by which others know that it is not left over
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # the bytes are on the disk before the name is
            os.replace(temporary, target)
        except FileNotFoundError:  # another writer took it for left over, before it was locked
            _replace(target, data)
        finally:
            temporary.unlink(missing_ok=True)


def _clean(folder: Path) -> None:
    """Removes the temporary files in a folder whose writers were killed: nobody holds the lock on them."""
    for file in folder.glob(TEMPORARY.format('?' * 16)):
        with contextlib.suppress(OSError), open(file, 'rb', opener=_no_link) as left:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


class AtomicBackend(LocalBackend):
    """mmengine's local file backend with :func:`write_atomically` for its ``put``.

    Registered as ``eca_mm.atomic``, for ``CheckpointHook(backend_args=dict(backend='eca_mm.atomic'))``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        write_atomically(filepath, obj)


register_backend('eca_mm.atomic', AtomicBackend, force=True)
