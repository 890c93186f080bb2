"""Writing files: whole or not at all, and only where that is allowed."""

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from eca_mm.errors import ExistingFileError, UserError


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
    if path.is_dir():
        raise UserError(f'{path} is a folder, not a file: name a file')
    if path.exists() and not force and not _is_stream(path):
        raise ExistingFileError(f'{path} exists: name another file, or write over it with --force')
    if not _is_stream(path):
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
    return path


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Writes a file so that a kill leaves the old one or the new one, never half of one.

    The content goes to a temporary file beside it, onto the disk, and is then renamed. Its folder is made. Of a link, the
    file is replaced that it leads to. A terminal, a pipe or a device is written to directly.

    Raises:
        UserError: If the file cannot be written, with the reason.
    """
    path = Path(path).expanduser()
    data = content.encode() if isinstance(content, str) else content
    try:
        if _is_stream(path):
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)
    except OSError as error:
        raise UserError(
            f'{path} cannot be written ({_reason(error)}): make room there, or name another file'
        ) from error
    return path


def _is_stream(path: Path) -> bool:
    # `/dev/stdout` may lead to a regular file that the shell holds open: replacing it would lose what else is printed.
    # Not so what is below /dev/shm, a file system.
    return (path.exists() and not path.is_file()) or str(path.parent) in ('/dev', '/dev/fd', '/proc/self/fd')


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f'.{target.name}.tmp')  # one writer; what a kill leaves is written over
    try:
        with open(temporary, 'wb') as file:
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
