"""How every tool ends: with a sentence where the user can mend it, with a traceback where we must."""

import sys
import traceback
from collections.abc import Callable

from eca_mm.errors import Interrupted, UserError


def run_tool(main: Callable[[], None]) -> None:
    """Runs a tool's main function; exits with 1 after an error, and with 128 plus its number, 130 for Ctrl-C, after a signal.

    A :class:`UserError` is printed as a sentence, with its traceback only if ``--traceback`` is among the arguments. Any
    other exception is nobody's mistake at the command line: it keeps its traceback, and the last line says how to report it.
    """
    try:
        main()
    except UserError as error:
        if '--traceback' in sys.argv:
            raise
        sys.exit(f'error: {error}')
    except Interrupted as message:
        print(message, file=sys.stderr)
        sys.exit(message.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        traceback.print_exc()
        sys.exit(
            f'\nThis {type(error).__name__} was not expected. Unless memory, disk or network failed, it is a bug in eca_mm, in a '
            'library or in a module of your own: report it with the lines above, the command, and what tools/doctor.py prints.'
        )
    finally:
        _leave_process_group()


def _leave_process_group() -> None:
    torch = sys.modules.get('torch')  # not imported for this
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
