"""Remove old checkpoints only after the new one is on the disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook


class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, which removes a file only after the one that replaces it is on the disk."""

    def before_train(self, runner: Any) -> None:
        super().before_train(runner)
        self.file_backend: Any = _DeferredRemoval(self.file_backend)
        own = Path(self.out_dir) / self.filename_tmpl.format(runner.epoch if self.by_epoch else runner.iter)
        if runner.last_checkpoint and runner.last_checkpoint.resolve() == own.resolve():
            self.last_ckpt = str(own)  # rewritten when a pending validation gives a best checkpoint

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        except (UnicodeEncodeError, IsADirectoryError, PermissionError):
            # The checkpoint is written. mmengine's `last_checkpoint` beside it, which nothing here reads, may be a folder, or
            # another user's, or the locale may lack a character of the path.
            if runner.last_checkpoint is None or str(runner.last_checkpoint) != self.last_ckpt:
                raise
        self._remove()

    def _save_best_checkpoint(self, runner: Any, metrics: dict[str, Any]) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self._remove()

    def _remove(self) -> None:
        best = getattr(self, 'best_ckpt_path_dict', None) or dict(best=getattr(self, 'best_ckpt_path', None))
        self.file_backend.remove_now({self.last_ckpt, *best.values()})


class _DeferredRemoval:
    """File backend that keeps what is to be removed until ``remove_now``."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._waiting: list[tuple[Callable[[str], None], str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._waiting.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        self._waiting.append((self._backend.rmtree, path))

    def remove_now(self, kept: set[str]) -> None:
        """Remove what waits, except the files in ``kept``."""
        for remove, path in self._waiting:
            if path not in kept and self._backend.exists(path):
                remove(path)
        self._waiting.clear()
