"""All metadata is in pyproject.toml; this file says on the terminal how long a first `uv run` is going to take."""

import contextlib
import os
import sys
from pathlib import Path

from setuptools import setup

NOTICE = """
eca_mm: a first `uv run` downloads PyTorch (several GB) and compiles mmcv's operators, once.
        That takes about 5 minutes on 2 cores, while uv shows "Building onedl-mmcv". Later runs start at once.
"""

# uv, which sets UV, names what it builds, but not for how long, and swallows what builds print. Before anything else it
# asks this file for `dist_info`; the terminal, where there is one, can be reached then.
environment = Path(os.environ.get('UV_PROJECT_ENVIRONMENT', '.venv'))
compiled = any(environment.glob('lib/python*/site-packages/mmcv'))
if os.environ.get('UV') and 'dist_info' in sys.argv and not compiled:
    with contextlib.suppress(OSError), open('/dev/tty', 'w') as terminal:
        terminal.write(NOTICE)

setup()
