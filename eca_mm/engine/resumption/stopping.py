"""Signals that ask a run to end: it finishes what it is at, once; then it ends at once."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.data import DataLoader

# What a terminal's Ctrl-C, a scheduler or torchrun, a closed terminal, and Slurm's --signal send.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

# torchrun and `uv run` pass on to what they started what it may have had already, from Slurm or timeout.
SAME_REQUEST = 5.0  # seconds
SAME_KEY = 0.5  # of Ctrl-C, which a user presses twice to end at once

_active: 'Signals | None' = None


class Stop(KeyboardInterrupt):
    """Ends a run for a signal.

    Args:
        number: The signal's.
        iteration: The one whose checkpoint was written for it; None if none was.
    """

    def __init__(self, number: int, iteration: int | None = None) -> None:
        super().__init__(number, iteration)
        self.number, self.iteration = number, iteration


class Signals:
    """While entered, the first of :data:`SIGNALS` is kept, and raises :class:`Stop` unless there is a step to finish.

    The second kills the data workers and ends the process with 128 + its number, even if that hangs in a library. What the
    process ignores, such as SIGHUP under nohup, it goes on ignoring. Outside the main thread this does nothing.

    Attributes:
        received: The signal's number, or 0.
        finishing: Whether there is a step to finish, which the owner sets, and looks at ``received`` after it.
    """

    def __init__(self) -> None:
        self.received = 0
        self.finishing = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> 'Signals':
        global _active
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        wanted = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, self._first) for number in wanted}
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._second, daemon=True).start()
        _active = self
        return self

    def __exit__(self, *_: object) -> None:
        global _active
        if self._handlers:
            _active = None
            signal.set_wakeup_fd(self._wakeup)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._writer.close()  # which ends the thread

    def _first(self, number: int, _frame: object) -> None:
        if self.received:
            return
        self.received = number
        if not self.finishing:
            raise Stop(number)
        name, again = signal.Signals(number).name, '' if _by_torchrun() else '; once more ends at once'
        os.write(2, f'\n{name}: finishing this step, then a checkpoint is written{again}\n'.encode())

    def _second(self) -> None:
        """Runs in a thread of its own: Python calls handlers only between two of its own instructions."""
        since = None
        with self._reader:
            while received := self._reader.recv(1):
                number = received[0]
                if number not in self._handlers:
                    continue
                if since is None:
                    since = time.monotonic()
                    continue
                pressed = number == signal.SIGINT and not _by_torchrun()
                if time.monotonic() - since > (SAME_KEY if pressed else SAME_REQUEST):
                    for worker in multiprocessing.active_children():
                        worker.kill()
                    os._exit(128 + number)


def _by_torchrun() -> bool:
    return 'TORCHELASTIC_RUN_ID' in os.environ


def _forget() -> None:
    if _active is not None:  # a signal to a child is none to the run
        signal.set_wakeup_fd(-1)
        for number, handler in _active._handlers.items():
            signal.signal(number, handler)


os.register_at_fork(after_in_child=_forget)


def keep_workers(loader: DataLoader) -> None:
    """Has data workers outlast signals to the whole job, which are for the process that trains, but not that process."""
    loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)


def _init_worker(init: Callable[[int], None] | None, worker: int) -> None:
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    # With it the parent ends its workers, and only a thread that waits for it learns who sent it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_for_parent, args=(os.getppid(),), daemon=True).start()
    if init is not None:
        init(worker)


def _end_for_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
