"""Training, from a config to a summary."""

import shlex
import time
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config

from eca_mm.checkpoints import latest_checkpoint, read_checkpoint, weights_of
from eca_mm.engine.batch import apply_batch
from eca_mm.engine.distributed import init_distributed
from eca_mm.engine.files import check_backbone_weights, check_data, check_weights, require
from eca_mm.engine.pictures import PicturesHook
from eca_mm.engine.runner import StrictRunner, bare_model, has_tensorboard, restored_globals
from eca_mm.errors import Interrupted, MissingFileError, UserError
from eca_mm.output import make_folder


@dataclass
class Summary:
    """What a training run leaves behind.

    Attributes:
        config: The config's file.
        work_dir: The run's folder.
        seconds: How long the training took.
        checkpoint: The last one, if any was written, or the one that a finished run was resumed from.
        metrics: By name, of the last validation.
        pictures: Folder of pictures with detections.
        finished_before: Whether nothing was left to train.
        options: Arguments with which tools/test.py sees the same data and model.
    """

    config: str
    work_dir: Path
    seconds: float
    checkpoint: Path | None
    metrics: dict[str, float] = field(default_factory=dict)
    pictures: Path | None = None
    finished_before: bool = False
    options: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f'Trained {self.config} in {self.seconds / 60:.1f} min']
        lines += [f'  {name:<24} {value:.4f}' for name, value in self.metrics.items()]
        if self.finished_before:
            lines = [f'{self.config} was finished already: nothing was trained, and nothing validated']
        elif not self.metrics:
            lines += ['  no metrics: nothing was validated, or nothing at all was detected']
        lines += [f'  checkpoint   {self.checkpoint}'] if self.checkpoint else []
        lines += [f'  pictures     {self.pictures}'] if self.pictures else []
        if has_tensorboard():
            lines += [f'  curves       {shlex.join(["tensorboard", "--logdir", str(self.work_dir)])}']
        test = ['tools/test.py', self.config, str(self.checkpoint), *self.options]
        lines += [f'  test again   {shlex.join(test)}'] if self.checkpoint else []
        return '\n'.join(lines)


@restored_globals()
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
        resume: 'auto' for the newest complete checkpoint of the work directory (no file there: start anew), or a path;
            None for what the config says.
        amp: Mixed precision, on a GPU.
        compile: Compile the training step with ``torch.compile``, as the config's ``compile`` says if it does.
        seed: Of weights, sampling and augmentation; None for the config's, or 0.

    Raises:
        MissingFileError: If data, weights or the checkpoint are missing.
        UserError: If the config is wrong, or the checkpoint cannot be read or does not fit; if the work directory cannot
            be made, or resuming from it would start anew over the checkpoints in it.
        Interrupted: After Ctrl-C.
    """
    processes = init_distributed(cfg, launcher)
    require(cfg, 'training', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    _set_options(cfg, resume, amp, compile, seed)
    check_data(cfg, 'train_dataloader', 'val_dataloader')
    check_weights(cfg)
    if cfg.resume and cfg.model.get('backbone'):
        cfg.model.backbone.init_cfg = None  # its weights are in the checkpoint, or that is refused
    batch = apply_batch(cfg, processes)
    make_folder(cfg.work_dir, '--work-dir')

    runner = StrictRunner(cfg, batch=batch)
    if cfg.get('load_from') and not cfg.resume:
        _prefer_load_from(cfg, runner)
    runner.build_loop('train')
    runner.build_loop('val')
    if cfg.get('pictures'):
        runner.register_hook(PicturesHook(cfg.pictures))
    if batch is not None:
        runner.logger.info(f'Batch: {batch}')
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            if batch is not None:
                # Schedulers count accumulated batches too, so torch sees one step before the optimiser's first.
                warnings.filterwarnings('ignore', 'Detected call of `scheduler.step', UserWarning)
            runner.train()
    except KeyboardInterrupt:
        raise Interrupted(_how_to_continue(runner)) from None
    return _summary(cfg, runner, time.perf_counter() - start)


def _set_options(cfg: Config, resume: str | None, amp: bool, compile: bool, seed: int | None) -> None:
    randomness = dict(cfg.get('randomness') or {})
    randomness['seed'] = seed if seed is not None else randomness.get('seed') or 0
    cfg.randomness = randomness
    if compile:
        cfg.compile = cfg.get('compile') or True
    if amp:
        if not torch.cuda.is_available():
            raise UserError('--amp needs a GPU, and torch sees none')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    pictures = cfg.get('pictures')
    if pictures is not None and (isinstance(pictures, bool) or not isinstance(pictures, int) or pictures < 0):
        raise UserError(f'pictures must be a number of images, got {pictures!r}')
    if resume is None and cfg.get('resume'):
        resume = cfg.get('load_from') or 'auto'
    checkpoint = _newest(cfg) if resume == 'auto' else resume and Path(resume)
    cfg.resume = bool(checkpoint)
    if checkpoint:
        if not checkpoint.is_file():
            raise MissingFileError(
                f'checkpoint not found: {checkpoint}; --resume alone takes the newest of {cfg.work_dir}'
            )
        cfg.load_from = str(checkpoint)


def _prefer_load_from(cfg: Config, runner: StrictRunner) -> None:
    """Skips the backbone's pretrained weights if ``load_from`` has all of the backbone; else they must be there."""
    model, given = bare_model(runner.model), weights_of(read_checkpoint(cfg.load_from), cfg.load_from)
    own = {key for key in model.state_dict() if key.startswith('backbone.') and not key.endswith('num_batches_tracked')}
    if own <= given.keys():
        model.backbone.init_cfg = None
    else:
        check_backbone_weights(cfg)


def _newest(cfg: Config) -> Path | None:
    """The checkpoint of the work directory to go on from; None if there is none at all."""
    units = _units(cfg)
    newest = latest_checkpoint(cfg.work_dir, units)
    files = [f for f in sorted(Path(cfg.work_dir).glob('*.pth')) if not f.name.startswith('best_')]
    if newest is None:
        if files:
            found = ', '.join(f.name for f in files[:4]) + ', ...' * (len(files) > 4)
            raise UserError(
                f'--resume: {cfg.work_dir} has {found}, but no complete {" or ".join(f"{u}_*.pth" for u in units)} to go on '
                'from: name one by --resume FILE, or start anew in another --work-dir'
            )
        return None
    for file in files:
        later = file.stat().st_mtime_ns >= newest.stat().st_mtime_ns
        if later and file.stem.split('_')[0] in units and not zipfile.is_zipfile(file):
            warnings.warn(f'{file} is damaged, passed over; resuming from the older {newest}', stacklevel=2)
    return newest


def _units(cfg: Config) -> tuple[str, ...]:
    # A run in epochs goes on from the end of one; in the middle the sampler's place is not in the checkpoint.
    return ('epoch', 'iter') if 'max_iters' in (cfg.get('train_cfg') or {}) else ('epoch',)


def _how_to_continue(runner: StrictRunner) -> str:
    epoch, checkpoint = min(runner.epoch + 1, runner.max_epochs), runner.last_checkpoint
    where = f'interrupted in epoch {epoch} of {runner.max_epochs}, iteration {runner.iter} of {runner.max_iters}'
    if checkpoint is None:
        return f'{where}, before the first checkpoint of this run: nothing to resume'
    if not runner.resumable:
        return f'{where}. {checkpoint} is the last checkpoint; it can be tested, but not resumed from'
    if runner.epoch >= runner.max_epochs:
        return f'{where}, after the training. {checkpoint} is its last checkpoint: tools/test.py tests it'
    newest = latest_checkpoint(runner.work_dir, _units(runner.cfg))
    # Other files in the folder may be newer, or this one elsewhere.
    resume = (
        '--resume'
        if newest and newest.resolve() == checkpoint.resolve()
        else f'--resume {shlex.quote(str(checkpoint))}'
    )
    return f'{where}. {checkpoint} is the last checkpoint: the same command with {resume} goes on from it'


def _summary(cfg: Config, runner: StrictRunner, seconds: float) -> Summary:
    trained = runner.iter > runner.resumed_iter
    scalars = runner.message_hub.log_scalars
    metrics = {
        name.removeprefix('val/'): float(buffer.current())
        for name, buffer in scalars.items()
        if trained and name.startswith('val/') and not name.endswith('time')
    }
    pictures = next((hook.folder for hook in runner.hooks if isinstance(hook, PicturesHook)), None)
    work_dir = Path(cfg.work_dir)
    return Summary(cfg.filename, work_dir, seconds, runner.last_checkpoint, metrics, pictures, not trained)
