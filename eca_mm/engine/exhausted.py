"""Sentences for what ran out while a run went on: memory, files, shared memory, and data workers that the system ended."""

import contextlib
import errno
import re
import shutil
from collections.abc import Iterator

from eca_mm.errors import UserError

_SHARED = '/dev/shm'
_LITTLE = 1 << 24  # bytes of free shared memory, which hold hardly a batch

_KINDS = {
    r'DataLoader timed out': (
        'no data worker has answered for train_dataloader.timeout seconds: a file system that hangs, or a transform; raise '
        'train_dataloader.timeout if reading takes so long'
    ),
    r'DataLoader worker .*(killed|exited)|bus error': (
        'a data worker was ended from outside ({reason}): most often the system had no memory left; take fewer '
        'train_dataloader.num_workers or smaller images, or give the job more memory'
    ),
    r'shared memory|torch_shm_manager': (
        '{shared} is full: give the container more shared memory (docker run --shm-size), or read without data workers, '
        '--cfg-options train_dataloader.num_workers=0 train_dataloader.persistent_workers=False'
    ),
    r'Too many open files|ancdata': (
        'the limit of open files is reached: raise it (ulimit -n 65536), or take fewer train_dataloader.num_workers'
    ),
    r'start new thread|Resource temporarily unavailable': (
        'no further process or thread can be started: raise the limit (ulimit -u), or take fewer train_dataloader.num_workers'
    ),
    r'CUDA out of memory': (
        'the GPU has no memory left ({reason}): take a smaller train_dataloader.batch_size, which with images_per_step keeps the '
        'same steps, or with_cp=True in the backbone'
    ),
    r'MemoryError|allocate memory|not enough memory|DefaultCPUAllocator': (
        'there is no memory left ({reason}): take a smaller train_dataloader.batch_size or fewer data workers, or give the job '
        'more memory (ulimit -v)'
    ),
}


@contextlib.contextmanager
def exhausted(going_on: str = '') -> Iterator[None]:
    """Make a sentence of what libraries raise when a resource is exhausted.

    Args:
        going_on: How to go on after it.

    Raises:
        UserError: With the resource and what to change.
    """
    try:
        yield
    except UserError:
        raise
    except (RuntimeError, MemoryError, OSError) as error:
        if (sentence := _sentence(error)) is None:
            raise
        raise UserError(f'{sentence}{going_on}') from error


def _sentence(error: Exception) -> str | None:
    text = f'{type(error).__name__}: {error}'
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename and _shared_memory_is_full():
        text = 'shared memory'
    if isinstance(error, OSError) and error.filename and error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = (lines[-1] if lines else type(error).__name__)[:200]
    for pattern, sentence in _KINDS.items():
        if re.search(pattern, text):
            return sentence.format(reason=reason.rstrip('. '), shared=_SHARED)
    return None


def _shared_memory_is_full() -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(_SHARED).free < _LITTLE
    return False
