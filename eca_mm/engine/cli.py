"""How every tool ends: with a sentence, not a traceback, where the user can mend it."""

import sys
from collections.abc import Callable

from eca_mm.engine.train import Interrupted


def run_tool(main: Callable[[], None]) -> None:
    """Runs a tool's main function; exits with 1 after an error of the user's, with 130 after Ctrl-C."""
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    except Interrupted as message:
        print(message, file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
