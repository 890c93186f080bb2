"""Standard output and standard error that never stop a run."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any


class LenientStream:
    """Text stream that passes over what cannot be written: a closed pipe or terminal, a full disk.

    Characters outside the stream's encoding are written as escapes.

    Attributes:
        error: The first error that was passed over.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        encoding = getattr(self._stream, 'encoding', None) or 'utf-8'
        self._try(self._stream.write, text.encode(encoding, 'backslashreplace').decode(encoding))
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.write(''.join(lines))

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, function: Any, *args: str) -> None:
        try:
            function(*args)
        except OSError as error:
            self.error = self.error or error


@contextlib.contextmanager
def lenient_streams() -> Iterator[tuple[LenientStream, LenientStream]]:
    """Make standard output, standard error and the handlers of ``logging`` pass over what they cannot write."""
    raising = logging.raiseExceptions
    logging.raiseExceptions = False  # else each record that cannot be written prints a traceback
    out, err = LenientStream(sys.stdout), LenientStream(sys.stderr)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield out, err
    finally:
        logging.raiseExceptions = raising


def drop_unwritten(stream: Any) -> None:
    """Flush a stream; if that fails, drop what it holds, which Python would try to write at exit and then exit with 120."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
