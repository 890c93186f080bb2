"""What the tests share: places, random weights, and a pickle that must never run."""

import os
import runpy
import warnings
from pathlib import Path

import torch

REPOSITORY = Path(__file__).parents[1]
COCO_TINY = Path(os.environ.get('COCO_TINY', REPOSITORY.parent / 'shared/data/coco_tiny'))


def quietly(tool):
    """Runs a tool without the warnings of mmengine, which on a second run finds its global objects there."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        runpy.run_path(str(tool), run_name='__main__')


def succeeded(process):
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return process.stdout


def randomize(module):
    """Random weights and statistics, so that no term of the forward pass is trivial."""
    generator = torch.Generator().manual_seed(2)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            if value.ndim > 1:
                value.copy_(noise * (2 / value[0].numel()) ** 0.5)
            else:
                value.copy_(1 + 0.1 * noise.abs() if 'weight' in name or 'var' in name else 0.1 * noise)
    return module


class Bomb:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)
