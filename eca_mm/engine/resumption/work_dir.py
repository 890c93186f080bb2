"""A work directory: who writes into it, which checkpoints are in it, and from which one a run resumes."""

import contextlib
import json
import math
import os
import platform
import re
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mmengine.dist import broadcast_object_list, is_main_process

from eca_mm.checkpoints import read_meta
from eca_mm.checkpoints.reading import damage
from eca_mm.errors import ExistingFileError, MissingFileError, UserError
from eca_mm.output import TEMPORARY, make_folder, write_atomically

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

T = TypeVar('T')

_RESUMABLE = re.compile(r'(epoch|iter|resume_iter)_\d+')
LOCK = '.lock'
WRITTEN = 600  # seconds that no file takes to be written
VALIDATED = 'validated.json'  # when the last validation was that was finished, with what it gave


def by_main_process(decide: Callable[[], T]) -> T:
    """Return what a function gives in the main process to all processes; raise in all what it raises there."""
    answer: list[Any] = [None, None]
    if is_main_process():
        try:
            answer[0] = decide()
        except Exception as error:
            answer[1] = error
    broadcast_object_list(answer)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


@contextlib.contextmanager
def claimed(folder: str | Path) -> Iterator[bool]:
    """Make a work directory and keep other runs out of it, until the end of this process at the latest.

    Yields:
        Whether an earlier attempt of this very run under torchrun was in it: restarted after a failure, or because nodes left
        or joined.

    Raises:
        UserError: If it cannot be made, or another run has it.
    """
    folder = Path(os.path.abspath(folder))  # whatever the run's working directory becomes
    new = not os.path.exists(folder)
    make_folder(folder, '--work-dir')
    file = _open_lock(folder / LOCK)
    with file:
        locked = _lock(file, folder)
        file.seek(0)
        before, run = file.read(), f'run {os.environ.get("TORCHELASTIC_RUN_ID", "none")} '
        file.truncate(0)
        file.write(f'{run}of process {os.getpid()} on {platform.node()}\n')
        file.flush()
        # Left over by a checkpoint whose writer was killed. Without a lock, a new one may be another run's.
        for left in folder.glob(TEMPORARY.format('?' * 16)):
            with contextlib.suppress(OSError):
                if locked or time.time() - left.stat().st_mtime > WRITTEN:
                    left.unlink()
        try:
            yield _restarts() > 0 or (run != 'run none ' and before.startswith(run))
        finally:
            with contextlib.suppress(OSError):
                if new and os.listdir(folder) == [LOCK]:  # nothing came of it
                    (folder / LOCK).unlink()
                    folder.rmdir()


def _open_lock(path: Path) -> Any:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f'{path} is not a file, but what keeps other runs out of the work directory: remove it')
        return open(path, 'a+', encoding='utf-8', errors='replace')
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f'{path}, which keeps other runs out of the work directory, cannot be opened ({error.strerror}): remove it, or '
            'choose another --work-dir'
        ) from error


def _lock(file: Any, folder: Path) -> bool:
    """Lock a file. Not by flock, which the data workers would inherit: they outlive a kill by seconds."""
    if fcntl is None:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        raise UserError(
            f'--work-dir: another run is writing into {folder} ({file.read().strip() or "it does not say which"}): wait for its '
            'end, or choose another folder'
        ) from None
    except OSError as error:  # a file system without locks
        warnings.warn(f'{folder} cannot be locked ({error}): no second run may write into it', stacklevel=5)
        return False
    return True


def _restarts() -> int:
    """How often torchrun has restarted this group of processes; 0 for what is not its number."""
    count = os.environ.get('TORCHELASTIC_RESTART_COUNT', '')
    return int(count) if count.isdecimal() else 0


def checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints of runs in a work directory, for resuming and the best ones."""
    files = sorted(file for file in Path(folder).glob('*.pth') if file.is_file())
    return [f for f in files if _RESUMABLE.fullmatch(f.stem) or f.name.startswith('best_')]


def resume_checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints in a work directory that are for resuming alone."""
    return [file for file in Path(folder).glob('resume_iter_*.pth') if file.is_file()]


def newest(folder: str | Path) -> Path | None:
    """Find the whole checkpoint of the most steps in a work directory; warn of those that are damaged.

    The steps are what a file holds, whenever it was written, and however the batch was split. One that is no checkpoint of a
    run has none.
    """
    found = [file for file in checkpoints(folder) if _RESUMABLE.fullmatch(file.stem)]
    passed: list[Path] = []
    for file in sorted(found, key=lambda file: (steps_of(file), file.name.startswith('epoch')), reverse=True):
        if _is_whole(file):
            for other in passed:
                warnings.warn(f'{other} is damaged, passed over; resuming from the older {file}', stacklevel=2)
            return file
        passed.append(file)
    return None


def steps_of(file: Path) -> float:
    """The steps of the optimiser after which a checkpoint was written, which do not depend on the split of the batch.

    Infinite for what is damaged, -1 for weights alone. What mmengine itself wrote counts iterations.
    """
    meta = read_meta(file)
    return int(meta.get('steps', meta['iter'])) if 'iter' in meta else -1 if _is_whole(file) else math.inf


def _is_whole(file: Path) -> bool:
    return zipfile.is_zipfile(file) and not damage(file)


def choose(folder: str | Path, resume: str | None, overwrite: bool, restarted: bool) -> tuple[Path | None, list[Path]]:
    """Choose the checkpoint from which a run in a work directory resumes, and the files that it removes when it begins.

    Args:
        folder: The work directory.
        resume: 'auto' for the newest whole checkpoint in it, a path, or None for a new run.
        overwrite: Whether checkpoints that are in the way may be removed.
        restarted: Whether an earlier attempt of this run was in the folder, whose newest checkpoint comes first.

    Raises:
        MissingFileError: If the path does not exist.
        ExistingFileError: If there are checkpoints in the way.
        UserError: If no checkpoint is whole.
    """
    if (restarted or resume == 'auto') and (last := newest(folder)):
        return last, []
    if resume == 'auto':
        if found := [f for f in sorted(Path(folder).glob('*.pth')) if f.is_file() and not f.name.startswith('best_')]:
            raise UserError(
                f'--resume: {folder} has {_some(found)}, but no complete epoch_*.pth, iter_*.pth or resume_iter_*.pth to go on '
                'from: name one by --resume FILE, or start anew in another --work-dir'
            )
        return None, []
    found = checkpoints(folder)
    file = Path(resume) if resume else None
    if file and not file.is_file():
        raise MissingFileError(f'checkpoint not found: {file}; --resume alone takes the newest of {folder}')
    own = file is not None and file.parent.resolve() == Path(folder).resolve()
    if file and own:
        found = [other for other in found if other.name != file.name and steps_of(other) > steps_of(file)]
    if found and not overwrite:
        what = f'newer checkpoints than {file.name}' if file and own else 'checkpoints of an earlier run'
        raise ExistingFileError(
            f'{folder} has {what} ({_some(found)}): go on from the newest by --resume, replace them by --overwrite, or choose '
            'another --work-dir'
        )
    return file, found


def _some(files: list[Path]) -> str:
    return ', '.join(f.name for f in files[:4]) + ', ...' * (len(files) > 4)


def write_validated(
    folder: str | Path, steps: int, metrics: dict[str, Any], state: dict[str, Any] | None = None
) -> None:
    """Record that the validation after so many steps of the optimiser was finished, its metrics, and the state of hooks then."""
    numbers = {key: float(value) for key, value in metrics.items() if isinstance(value, int | float)}
    content = dict(steps=steps, metrics=numbers, **(dict(state=state) if state else {}))
    write_atomically(Path(folder) / VALIDATED, json.dumps(content, indent=2, default=str) + '\n')


def last_validated(folder: str | Path) -> int:
    """The optimiser's steps before the last validation that was finished in a work directory; -1 if none is known of."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return int(json.loads((Path(folder) / VALIDATED).read_text())['steps'])
    return -1


def validated_state(folder: str | Path) -> dict[str, Any]:
    """The state of hooks after the last validation that was finished; {} if none is known."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        return dict(json.loads((Path(folder) / VALIDATED).read_text())['state'])
    return {}
