"""Writes what compiled mmcv returns for `cases.py` to `recorded.npz`: ``python -m tests.mmcv_ops.record``.

To be run in an environment with compiled operators, and again where a case is added; the file says by which versions.
"""

from pathlib import Path

import mmcv
import numpy as np
import torch

from eca_mm import mmcv_ops
from eca_mm.errors import UserError
from tests.mmcv_ops.cases import CASES

RECORDED = Path(__file__).with_name('recorded.npz')


def main():
    if mmcv_ops.in_use() != 'compiled':
        raise UserError("this environment's mmcv has no compiled operators whose results could be recorded.")
    values = {f'{case}/{name}': array for case, run in CASES.items() for name, array in run().items()}
    np.savez_compressed(RECORDED, versions=f'mmcv {mmcv.__version__}, torch {torch.__version__}', **values)


if __name__ == '__main__':
    main()
