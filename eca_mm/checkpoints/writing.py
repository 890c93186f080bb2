"""Writing checkpoints so that a kill leaves the old file or the new one, never half of one."""

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


class AtomicBackend(LocalBackend):
    """mmengine's local file backend with an atomic ``put``: the bytes go to a temporary file that is then renamed.

    Registered as ``eca_mm.atomic``, for ``CheckpointHook(backend_args=dict(backend='eca_mm.atomic'))``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        path = Path(filepath)
        if path.is_relative_to('/dev') or (
            path.exists() and not path.is_file()
        ):  # a terminal, a pipe: not to be replaced
            path.write_bytes(obj)
            return
        target = Path(filepath).resolve()  # of a link, the file
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f'.{target.name}.tmp')  # one writer; what a kill leaves is written over
        try:
            with open(temporary, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())  # the bytes are on the disk before the name is
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


register_backend('eca_mm.atomic', AtomicBackend, force=True)
