"""What the tests share: places, random weights, and a pickle that must never run."""

import os
import runpy
import signal
import warnings
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import CheckpointLoader
from mmengine.visualization import Visualizer

from eca_mm.engine import load_config, train

REPOSITORY = Path(__file__).parents[1]
COCO_TINY = Path(os.environ.get('COCO_TINY', REPOSITORY.parent / 'shared/data/coco_tiny'))

FASTER = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_shapes.py'
MASK = REPOSITORY / 'configs/mask_rcnn_eca_r50_fpn_shapes.py'
NO_VALIDATION = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)


def short(epochs=2, **changes):
    """Options of a run of two iterations an epoch, of 8 images each; in the names of changes ``__`` is a dot."""
    options = {'train_dataloader.dataset.indices': 16, 'val_dataloader.dataset.indices': 8}
    if epochs:
        options['train_cfg.max_epochs'] = epochs
    return {**options, **{key.replace('__', '.'): value for key, value in changes.items()}}


def train_shortly(
    config, work_dir, resume=None, overwrite=False, checkpoint_every=None, resume_with_changes=False, **changes
):
    """Trains a config with :func:`short`; whatever happens, the process is left as it was. Returns the summary."""
    cfg = load_config(config, work_dir=str(work_dir), cfg_options=short(**changes))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        before = _state_of_the_process()
        try:
            return train(
                cfg,
                resume=resume,
                overwrite=overwrite,
                checkpoint_every=checkpoint_every,
                resume_with_changes=resume_with_changes,
            )
        finally:
            assert _state_of_the_process() == before


def _state_of_the_process():
    current = [dict(manager._instance_dict) for manager in (DefaultScope, MessageHub, Visualizer)]
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)]
    imports = ('KMP_', 'TORCHINDUCTOR_')  # what torch sets when it first imports parts of itself
    environment = {key: value for key, value in os.environ.items() if not key.startswith(imports)}
    return current, dict(CheckpointLoader._schemes), warnings.filters[:], environment, handlers


def as_arguments(options):
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]


@HOOKS.register_module(force=True)
class Interrupt(Hook):
    """Ctrl-C after an iteration."""

    priority = 'LOWEST'  # after the checkpoint's

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, *_, **__):
        if runner.iter + 1 == self.after:
            raise KeyboardInterrupt


@HOOKS.register_module(force=True)
class Signal(Hook):
    """A signal to this process in an iteration, or in a validation."""

    priority = 'HIGHEST'

    def __init__(self, number, after=None, validation=False):
        self.number, self.after, self.validation = number, after, validation

    def after_train_iter(self, runner, *_, **__):
        if runner.iter + 1 == self.after:
            os.kill(os.getpid(), self.number)

    def before_val_iter(self, *_, **__):
        if self.validation:
            os.kill(os.getpid(), self.number)


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
