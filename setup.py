"""All metadata is in pyproject.toml; this file says on the terminal what a first `uv run` is about to do."""

import contextlib
import os
import sys

from setuptools import setup

NOTICE = """
eca_mm: a first `uv run` downloads PyTorch (several GB) and compiles mmcv's operators, once.
        That takes about 5 minutes on 2 cores, with no output meanwhile. Later runs start at once.
"""

# uv, which sets UV, swallows what builds print; the terminal itself is still there. dist_info is asked for once.
if os.environ.get('UV') and 'dist_info' in sys.argv:
    with contextlib.suppress(OSError), open('/dev/tty', 'w') as terminal:
        terminal.write(NOTICE)

setup()
