"""``python -m eca_mm.mmcv_ops SCRIPT ARGS`` runs a script, such as mmdet's `tools/train.py`, with eca_mm imported first.

So mmcv's operators are there when the script imports mmdet, and ``type='eca_mm.ECAResNet'`` and
``_base_ = 'eca_mm::...'`` are understood.
"""

import runpy
import sys
from pathlib import Path

from eca_mm import mmcv_ops


def main() -> None:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_file():
        script = repr(sys.argv[1]) if len(sys.argv) > 1 else 'nothing'
        sys.exit(f'error: the first argument must be the Python file to run, not {script}.')
    mmcv_ops.install()
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name='__main__')


if __name__ == '__main__':
    main()
