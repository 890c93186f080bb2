"""A work directory: whose it is, which checkpoints are in it, and from which one a run goes on."""

import contextlib
import fcntl
import json
import math
import os
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

T = TypeVar('T')

_RESUMABLE = re.compile(r'(epoch|iter|resume_iter)_\d+')
LOCK = '.lock'
WRITTEN = 600  # seconds that no file takes to be written
VALIDATED = 'validated.json'  # when the last validation was that was finished, with what it gave


def by_main_process(decide: Callable[[], T]) -> T:
    """What a function gives in the main process, for all processes; what it raises is raised in all."""
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
    """Makes a work directory and keeps other runs out of it, until the end of this process at the latest.

    Gives:
        Whether an earlier attempt of this very run under torchrun was in it: restarted after a failure, or because nodes left
        or joined.

    Raises:
        UserError: If it cannot be made, or another run has it.
    """
    folder, new = Path(folder), not Path(folder).exists()
    make_folder(folder, '--work-dir')
    # Not flock, which the data workers would inherit: they outlive a kill by seconds.
    with open(folder / LOCK, 'a+') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise UserError(
                f'--work-dir: another run is writing into {folder} ({file.read().strip() or "it does not say which"}): wait for '
                'its end, or choose another folder'
            ) from None
        except OSError as error:  # a file system without locks
            warnings.warn(f'{folder} cannot be locked ({error}): no second run may write into it', stacklevel=4)
        file.seek(0)
        before, run = file.read(), f'run {os.environ.get("TORCHELASTIC_RUN_ID", "none")} '
        file.truncate(0)
        file.write(f'{run}of process {os.getpid()} on {os.uname().nodename}\n')
        file.flush()
        # Left over by a checkpoint whose writer was killed; a new one may be of somebody who is writing.
        for left in folder.glob(TEMPORARY.format('?' * 16)):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > WRITTEN:
                    left.unlink()
        again = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)) > 0
        try:
            yield again or (run != 'run none ' and before.startswith(run))
        finally:
            if new and os.listdir(folder) == [LOCK]:  # nothing came of it
                with contextlib.suppress(OSError):
                    (folder / LOCK).unlink()
                    folder.rmdir()


def checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints of runs in a work directory, for resuming and the best ones."""
    files = sorted(Path(folder).glob('*.pth'))
    return [f for f in files if _RESUMABLE.fullmatch(f.stem) or f.name.startswith('best_')]


def newest(folder: str | Path) -> Path | None:
    """The whole checkpoint of the most steps in a work directory, or None; those that are damaged are warned of.

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
    """From which checkpoint a run in a work directory goes on, and which files it removes when it begins.

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
        if found := [f for f in sorted(Path(folder).glob('*.pth')) if not f.name.startswith('best_')]:
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


def write_validated(folder: str | Path, steps: int, metrics: dict[str, Any]) -> None:
    """Keeps that a validation after so many steps of the optimiser was finished, and what it gave."""
    numbers = {key: float(value) for key, value in metrics.items() if isinstance(value, int | float)}
    write_atomically(Path(folder) / VALIDATED, json.dumps(dict(steps=steps, metrics=numbers), indent=2) + '\n')


def last_validated(folder: str | Path) -> int:
    """The optimiser's steps before the last validation that was finished in a work directory; -1 if none is known of."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads((Path(folder) / VALIDATED).read_text())['steps'])
    return -1
