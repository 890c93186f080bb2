"""Training, from a config to a summary."""

import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process

from eca_mm.checkpoints import latest_checkpoint, use_safe_loading
from eca_mm.engine.batch import apply_batch
from eca_mm.engine.distributed import init_distributed
from eca_mm.engine.files import check_data, check_weights
from eca_mm.engine.predict import predict
from eca_mm.engine.runner import StrictRunner, build_runner, building


@dataclass
class Summary:
    """What a training run leaves behind."""

    config: str
    work_dir: Path
    seconds: float
    checkpoint: Path | None
    metrics: dict[str, float] = field(default_factory=dict)
    pictures: Path | None = None

    def __str__(self) -> str:
        lines = [f'Trained {self.config} in {self.seconds / 60:.1f} min']
        lines += [f'  {name:<24} {value:.4f}' for name, value in self.metrics.items()]
        lines += [] if self.metrics else ['  no metrics: nothing was validated, or nothing at all was detected']
        lines += [f'  checkpoint   {self.checkpoint}'] if self.checkpoint else []
        lines += [f'  pictures     {self.pictures}'] if self.pictures else []
        lines += [f'  curves       tensorboard --logdir {self.work_dir}']
        lines += [f'  test again   tools/test.py {self.config} {self.checkpoint}'] if self.checkpoint else []
        return '\n'.join(lines)


class Interrupted(Exception):
    """Training was stopped by Ctrl-C; the message says how to go on."""


def train(
    cfg: Config,
    *,
    launcher: str = 'none',
    resume: str | None = None,
    amp: bool = False,
    compile: bool = False,
    seed: int | None = None,
) -> Summary:
    """Trains what the config describes and validates as often as it says.

    Args:
        cfg: From :func:`load_config`; changed in place.
        launcher: 'none', 'pytorch' (torchrun), 'slurm' or 'mpi'.
        resume: 'auto' for the newest complete checkpoint of the work directory (none: start anew), or a path; None for
            what the config says.
        amp: Mixed precision, on a GPU.
        compile: Compile the training step with ``torch.compile``.
        seed: Of weights, sampling and augmentation; None for the config's, or 0.

    Raises:
        FileNotFoundError: If data, weights or the checkpoint are missing.
        ValueError: If the config is wrong, or the checkpoint cannot be read or does not fit.
        Interrupted: After Ctrl-C.
    """
    processes = init_distributed(cfg, launcher)
    use_safe_loading()
    _set_options(cfg, resume, amp, compile, seed)
    check_data(cfg, 'train_dataloader', 'val_dataloader')
    if cfg.resume and 'backbone' in cfg.model:
        cfg.model.backbone.init_cfg = None  # all weights are in the checkpoint
    check_weights(cfg)
    with building('a batch'):
        batch = apply_batch(cfg, processes)

    runner = build_runner(cfg)
    with building('datasets'):
        runner.train_loop, runner.val_loop  # noqa: B018  (these properties build)
    with building('an optimiser'):
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    if batch is not None:
        runner.batch = str(batch)
        # Schedulers count accumulated batches too, so torch sees one step before the optimiser's first.
        warnings.filterwarnings('ignore', 'Detected call of `scheduler.step', UserWarning)
        runner.logger.info(f'Batch: {batch}')
    start = time.perf_counter()
    try:
        runner.train()
    except KeyboardInterrupt:
        raise Interrupted(_how_to_continue(runner)) from None
    seconds = time.perf_counter() - start
    return _summary(cfg, runner, seconds)


def _set_options(cfg: Config, resume: str | None, amp: bool, compile: bool, seed: int | None) -> None:
    randomness = dict(cfg.get('randomness') or {})
    randomness['seed'] = seed if seed is not None else randomness.get('seed') or 0
    cfg.randomness = randomness
    if compile:
        cfg.compile = True
    if amp:
        if not torch.cuda.is_available():
            raise ValueError('--amp needs a GPU, and torch sees none')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if resume is None and cfg.get('resume'):
        resume = cfg.get('load_from') or 'auto'
    checkpoint = latest_checkpoint(cfg.work_dir) if resume == 'auto' else resume and Path(resume)
    cfg.resume = bool(checkpoint)
    if checkpoint:
        if not checkpoint.is_file():
            raise FileNotFoundError(
                f'checkpoint not found: {checkpoint}; --resume alone takes the newest of {cfg.work_dir}'
            )
        cfg.load_from = str(checkpoint)


def _how_to_continue(runner: StrictRunner) -> str:
    checkpoint = latest_checkpoint(runner.work_dir)
    where = f'epoch {runner.epoch + 1} of {runner.max_epochs}, iteration {runner.iter} of {runner.max_iters}'
    if checkpoint is None:
        return f'interrupted in {where}, before the first checkpoint: nothing to resume'
    return (
        f'interrupted in {where}. {checkpoint} is the last checkpoint: the same command with --resume goes on from it'
    )


def _summary(cfg: Config, runner: StrictRunner, seconds: float) -> Summary:
    scalars = runner.message_hub.log_scalars
    metrics = {
        name.removeprefix('val/'): float(buffer.current())
        for name, buffer in scalars.items()
        if name.startswith('val/') and not name.endswith('time')
    }
    checkpoint = latest_checkpoint(cfg.work_dir)
    pictures = None
    if cfg.get('pictures') and checkpoint and is_main_process():
        dataset = runner.val_loop.dataloader.dataset
        files = [dataset.get_data_info(i)['img_path'] for i in range(min(cfg.pictures, len(dataset)))]
        pictures = Path(cfg.work_dir) / 'pictures'
        predict(cfg, checkpoint, files, pictures)
    return Summary(cfg.filename, Path(cfg.work_dir), seconds, checkpoint, metrics, pictures)
