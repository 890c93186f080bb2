"""How every tool ends: with a sentence, not a traceback, where the user can mend it."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from eca_mm.engine.train import Interrupted

PACKAGE = Path(__file__).parents[1]


def run_tool(main: Callable[[], None]) -> None:
    """Runs a tool's main function; exits with 1 after an error of the user's, with 130 after Ctrl-C.

    An error of the user's is a ValueError or OSError that this package raised, with a sentence for it. One from
    elsewhere is a bug, here or there, and keeps its traceback. ``--traceback`` shows it for all.
    """
    try:
        main()
    except (ValueError, OSError) as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if PACKAGE not in raised_in.parents or '--traceback' in sys.argv:
            raise
        sys.exit(f'error: {error}')
    except Interrupted as message:
        print(message, file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
