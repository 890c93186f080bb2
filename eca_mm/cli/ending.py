"""How every tool ends: with a sentence where the user can mend it, with a traceback where we must."""

import sys
import traceback as tracebacks
from collections.abc import Callable

from eca_mm.cli.flags import name_flags
from eca_mm.errors import Interrupted, UserError
from eca_mm.libraries import importing_for
from eca_mm.streams import drop_unwritten, lenient_streams


def run_tool(call: Callable[[], None], *, traceback: bool = False) -> None:
    """Run a tool; exit with 1 after an error, and with 128 plus its number (130 for Ctrl-C) after a signal.

    A :class:`UserError`, or mmcv_torch_ops' error, is printed as a sentence. Any other exception keeps its traceback, because
    it is not the user's mistake, and the last line says how to report it.

    Args:
        call: Runs the tool.
        traceback: Raise a :class:`UserError` with its traceback as well.
    """
    try:
        with lenient_streams() as (out, _):
            try:
                _run(call, traceback)
            finally:
                _leave_process_group()
    finally:
        for stream in (sys.stdout, sys.stderr):
            drop_unwritten(stream)
    if out.error is not None and not isinstance(out.error, BrokenPipeError):
        sys.exit(
            f'error: standard output cannot be written ({out.error.strerror}): what the tool printed is incomplete'
        )


def _run(call: Callable[[], None], traceback: bool) -> None:
    try:
        with importing_for('this tool'):
            call()
    except UserError as error:
        if traceback:
            raise
        sys.exit(f'error: {name_flags(str(error))}')
    except Interrupted as message:
        print(name_flags(str(message)), file=sys.stderr)
        sys.exit(message.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if _is_of_operators(error) and not traceback:
            sys.exit(f'error: {error}')
        tracebacks.print_exc()
        sys.exit(
            f'\nThis {type(error).__name__} was not expected. Unless memory, disk or network failed, it is a bug in eca_mm, in a '
            'library or in a module of your own: report it with the lines above, the command, and what tools/doctor.py prints.'
        )


def _is_of_operators(error: Exception) -> bool:
    operators = sys.modules.get('mmcv_torch_ops.errors')  # imported by mmcv where it has no compiled operators
    return operators is not None and isinstance(error, operators.OperatorError)


def _leave_process_group() -> None:
    torch = sys.modules.get('torch')  # not imported for this
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
