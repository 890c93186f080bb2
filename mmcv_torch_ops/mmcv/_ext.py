"""mmcv's operators, where mmcv was installed without a compiler. This file belongs to the distribution mmcv-torch-ops."""

from mmcv_torch_ops.extension import *  # noqa: F403
from mmcv_torch_ops.extension import __getattr__  # noqa: F401  (answers for the operators that are missing)
