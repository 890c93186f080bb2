"""All metadata is in pyproject.toml; this file says on the terminal what a first `uv run` is about to do."""

import contextlib
import os

from setuptools import setup

NOTICE = """
eca_mm: the first set-up downloads PyTorch (several GB) and compiles mmcv's operators, once.
        That takes about 5 minutes on 2 cores, with no output meanwhile. Later runs start at once.
"""

if os.environ.get('UV'):  # set by uv, which swallows what builds print; the terminal itself is still there
    with contextlib.suppress(OSError), open('/dev/tty', 'w') as terminal:
        terminal.write(NOTICE)

setup()
