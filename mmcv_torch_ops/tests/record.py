"""Writes what compiled mmcv returns for `cases.py` to `recorded.npz`: ``python tests/record.py``.

To be run in an environment with compiled operators, and again where a case is added; the file says by which versions.
"""

from pathlib import Path

import mmcv
import numpy as np
import torch
from cases import CASES

from mmcv_torch_ops import in_use

RECORDED = Path(__file__).with_name('recorded.npz')


def main():
    if in_use() != 'compiled':
        raise SystemExit("error: this environment's mmcv has no compiled operators to record results of.")
    values = {f'{case}/{name}': array for case, run in CASES.items() for name, array in run().items()}
    np.savez_compressed(RECORDED, versions=f'mmcv {mmcv.__version__}, torch {torch.__version__}', **values)


if __name__ == '__main__':
    main()
