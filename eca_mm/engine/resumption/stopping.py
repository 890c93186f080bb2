"""Stop a run on a signal: the first one lets it finish its step, the second one ends it at once."""

import contextlib
import multiprocessing
import multiprocessing.util
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from typing import Any

# What a terminal's Ctrl-C, a scheduler or torchrun, a closed terminal, and Slurm's --signal send; Windows has the first two.
SIGNALS = tuple(getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1') if hasattr(signal, name))

# torchrun and `uv run` forward signals that the process may have got already, from Slurm or timeout.
SAME_REQUEST = 5.0  # seconds
SAME_KEY = 0.5  # of Ctrl-C, which a user presses twice to end at once


class Stop(KeyboardInterrupt):
    """Ends a run for a signal.

    Args:
        number: The signal's.
        iteration: The iteration whose checkpoint was written for it; None if none was.
    """

    def __init__(self, number: int, iteration: int | None = None) -> None:
        super().__init__(number, iteration)
        self.number, self.iteration = number, iteration


class Signals:
    """Signal handlers of a training: context manager.

    The first of :data:`SIGNALS` is kept, and raises :class:`Stop` unless there is a step to finish. The second kills the data
    workers and ends the process with 128 + its number, even if that hangs in a library. A signal that the process ignores, such
    as SIGHUP under nohup, stays ignored. Outside the main thread this does nothing.

    Attributes:
        received: The signal's number, or 0.
        finishing: There is a step to finish. The owner sets it, and looks at ``received`` after the step.
    """

    def __init__(self) -> None:
        self.received = 0
        self.finishing = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> 'Signals':
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        wanted = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, self._first) for number in wanted}
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._second, daemon=True).start()
        # A signal to a child process is not meant for the run. Python drops this entry with the object.
        multiprocessing.util.register_after_fork(self, Signals._forget)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handlers:
            signal.set_wakeup_fd(self._wakeup)
            self._restore()
            self._writer.close()  # which ends the thread

    def _forget(self) -> None:
        if self._handlers:
            signal.set_wakeup_fd(-1)
            self._restore()

    def _restore(self) -> None:
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _first(self, number: int, _frame: object) -> None:
        if self.received:
            return
        self.received = number
        if not self.finishing:
            raise Stop(number)
        name, again = signal.Signals(number).name, '' if _by_torchrun() else '; once more ends at once'
        with contextlib.suppress(
            OSError
        ):  # the reader of a pipe may have got the same Ctrl-C, the terminal may be closed
            os.write(2, f'\n{name}: finishing this step, then a checkpoint is written{again}\n'.encode())

    def _second(self) -> None:
        """Run in a thread of its own: Python calls handlers only between two of its own instructions."""
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


def init_worker(init: Callable[[int], None] | None, worker: int) -> None:
    """Prepare a data worker.

    Args:
        init: The config's own ``worker_init_fn``.
        worker: Its number.
    """
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # Linux. Elsewhere SIGTERM ends a worker, whoever sends it
        # With it the parent ends its workers, and only a thread that waits for it learns who sent it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_for_parent, args=(os.getppid(),), daemon=True).start()
    # A batch that does not fit into /dev/shm would be dropped by the thread that sends it, and waited for in vain.
    Queue._on_queue_feeder_error = staticmethod(_end_for_error)  # type: ignore[attr-defined]
    if init is not None:
        init(worker)


def _end_for_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def _end_for_error(error: Exception, _: object) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f'\ndata worker {os.getpid()} could not send a batch: {error}\n'.encode())
    os._exit(1)
