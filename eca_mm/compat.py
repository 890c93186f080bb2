"""One name for what releases of torch, from 2.0 on, and of numpy call differently."""

import importlib
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as _module

TORCH = tuple(int(number) for number in torch.__version__.split('+')[0].split('.')[:2])

if TORCH < (2, 0):
    raise ImportError(f'eca_mm needs torch 2.0 or newer, found {torch.__version__}: install a newer one')

# torch 2.1 and 2.2 have torch.compiler without it. Dynamo replaces the older function by True.
is_compiling = getattr(getattr(torch, 'compiler', None), 'is_compiling', torch._utils.is_compiling)


def has_global_hooks() -> bool:
    """Check for hooks on all modules, registered by ``torch.nn.modules.module.register_module_*_hook``."""
    return bool(
        _module._global_forward_hooks
        or _module._global_forward_pre_hooks
        or _module._global_backward_hooks
        or _module._global_backward_pre_hooks
    )


if TORCH >= (2, 4):

    def is_cpu_autocast_enabled() -> bool:
        return torch.is_autocast_enabled('cpu')
else:
    is_cpu_autocast_enabled = torch.is_autocast_cpu_enabled


def numpy_multiarray() -> Any:
    """Import the module whose functions arrays are pickled with. numpy 1.26 has a stub of numpy 2's package, without it."""
    name = 'numpy._core.multiarray' if np.lib.NumpyVersion(np.__version__) >= '2.0.0' else 'numpy.core.multiarray'
    return importlib.import_module(name)
