"""Training, from a config to a summary."""

import shlex
import time
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object

from eca_mm.checkpoints import check_start, latest_checkpoint, read_checkpoint, weights_of
from eca_mm.checkpoints.download import local_file
from eca_mm.checks import passed_over
from eca_mm.engine.batch import apply_batch
from eca_mm.engine.distributed import init_distributed
from eca_mm.engine.files import check_data, check_weights, require
from eca_mm.engine.pictures import PicturesHook
from eca_mm.engine.runner import StrictRunner, bare_model, restored_globals
from eca_mm.errors import Interrupted, MissingFileError, UserError
from eca_mm.output import make_folder


@dataclass
class Summary:
    """What a training run leaves behind."""

    config: str
    work_dir: Path
    seconds: float
    checkpoint: Path | None  # the last one, or the one that a finished run was resumed from
    metrics: dict[str, float] = field(default_factory=dict)  # by name, of the last validation
    pictures: Path | None = None  # folder of pictures with detections
    finished_before: bool = False  # nothing was left to train
    unreadable: list[str] = field(default_factory=list)  # images that were passed over
    options: list[str] = field(default_factory=list)  # arguments with which tools/test.py sees the same data and model

    def __str__(self) -> str:
        lines = [f'Trained {self.config} in {self.seconds / 60:.1f} min']
        lines += [f'  {name:<24} {value:.4f}' for name, value in self.metrics.items()]
        if self.finished_before:
            lines = [f'{self.config} was finished already: nothing was trained, and nothing validated']
        elif not self.metrics:
            lines += ['  no metrics: nothing was validated, or nothing at all was detected']
        if self.unreadable:
            some = f'{", ".join(self.unreadable[:4])}{", ..." * (len(self.unreadable) > 4)}'
            lines += [f'  unreadable   {len(self.unreadable)} images were passed over: {some}']
        if self.checkpoint:
            lines += [f'  checkpoint   {self.checkpoint}']
        if self.pictures:
            lines += [f'  pictures     {self.pictures}']
        if any(self.work_dir.rglob('events.out.tfevents*')):
            lines += [f'  curves       {shlex.join(["tensorboard", "--logdir", str(self.work_dir)])}']
        if self.checkpoint:
            test = ['tools/test.py', self.config, str(self.checkpoint), *self.options]
            lines += [f'  test again   {shlex.join(test)}']
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
    skip_unreadable: int = 0,
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
        skip_unreadable: How many images of the training set may be unreadable, in each process: random others take their
            places, and the summary names them. An unreadable image of the validation set always ends the run.

    Raises:
        MissingFileError: If data, weights or the checkpoint are missing.
        UserError: If the config, the annotations or an image are wrong, or the checkpoint cannot be read or does not fit; if
            the work directory cannot be made, or resuming from it would start anew over the checkpoints in it.
        Interrupted: After Ctrl-C.
    """
    if skip_unreadable < 0:
        raise UserError(f'--skip-unreadable must be a number of images, got {skip_unreadable}')
    processes = init_distributed(cfg, launcher)
    require(cfg, 'training', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    _set_options(cfg, resume, amp, compile, seed)
    check_data(cfg, 'train_dataloader', 'val_dataloader')
    if cfg.get('load_from'):  # what it lacks of the backbone is looked for when the model is there to tell
        local_file(cfg.load_from)
    else:
        check_weights(cfg)
    if cfg.resume and cfg.model.get('backbone'):
        cfg.model.backbone.init_cfg = None  # its weights are in the checkpoint, or that is refused
    batch = apply_batch(cfg, processes)
    make_folder(cfg.work_dir, '--work-dir')

    runner = StrictRunner(cfg, batch=batch, skip_unreadable=skip_unreadable)
    if cfg.get('load_from') and not cfg.resume:
        _prefer_load_from(cfg, runner)
    runner.build_loop('train')
    runner.build_loop('val')
    pictures = PicturesHook(cfg.get('pictures') or 0)
    runner.register_hook(pictures)
    if batch is not None:
        runner.logger.info(f'Batch: {batch}')
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            # Schedulers count accumulated batches too, so torch sees one step before the optimiser's first.
            warnings.filterwarnings('ignore', 'Detected call of `scheduler.step', UserWarning)
            runner.train()
    except KeyboardInterrupt:
        raise Interrupted(_how_to_continue(runner)) from None
    trained = runner.iter > runner.resumed_iter
    metrics = {
        name.removeprefix('val/'): float(buffer.current())
        for name, buffer in runner.message_hub.log_scalars.items()
        if trained and name.startswith('val/') and not name.endswith('time')
    }
    seconds, work_dir = time.perf_counter() - start, Path(cfg.work_dir)
    skipped = {path for part in all_gather_object(passed_over(runner.train_dataloader.dataset)) for path in part}
    return Summary(
        cfg.filename, work_dir, seconds, runner.last_checkpoint, metrics, pictures.folder, not trained, sorted(skipped)
    )


def _set_options(cfg: Config, resume: str | None, amp: bool, compile: bool, seed: int | None) -> None:
    randomness = cfg.get('randomness') or {}
    cfg.randomness = dict(randomness, seed=seed if seed is not None else randomness.get('seed') or 0)
    if compile:
        cfg.compile = cfg.get('compile') or True
    if amp:
        if not torch.cuda.is_available():
            raise UserError('--amp needs a GPU, and torch sees none')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
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
    check_start(model.state_dict(), given, cfg.load_from)
    own = {key for key in model.state_dict() if key.startswith('backbone.') and not key.endswith('num_batches_tracked')}
    if own <= given.keys():
        model.backbone.init_cfg = None
    else:
        check_weights(cfg)


def _newest(cfg: Config) -> Path | None:
    """The checkpoint of the work directory to go on from; None if there is none at all."""
    units = _units(cfg)
    newest = latest_checkpoint(cfg.work_dir, units)
    found = sorted(f.name for f in Path(cfg.work_dir).glob('*.pth') if not f.name.startswith('best_'))
    if newest is None and found:
        raise UserError(
            f'--resume: {cfg.work_dir} has {", ".join(found[:4])}{", ..." * (len(found) > 4)}, but no complete '
            f'{" or ".join(f"{u}_*.pth" for u in units)} to go on from: name one by --resume FILE, or start anew in another '
            '--work-dir'
        )
    for file in (Path(cfg.work_dir) / name for name in found if name.startswith(units)):
        if newest and file.stat().st_mtime_ns >= newest.stat().st_mtime_ns and not zipfile.is_zipfile(file):
            warnings.warn(f'{file} is damaged, passed over; resuming from the older {newest}', stacklevel=2)
    return newest


def _units(cfg: Config) -> tuple[str, ...]:
    # A run in epochs goes on from the end of one; in the middle the sampler's place is not in the checkpoint.
    return ('epoch', 'iter') if 'max_iters' in cfg.train_cfg else ('epoch',)


def _how_to_continue(runner: StrictRunner) -> str:
    epoch, checkpoint = min(runner.epoch + 1, runner.max_epochs), runner.last_checkpoint
    where = f'interrupted in epoch {epoch} of {runner.max_epochs}, iteration {runner.iter} of {runner.max_iters}'
    if checkpoint is None:
        return f'{where}, before the first checkpoint of this run: nothing to resume'
    if not checkpoint.name.startswith(_units(runner.cfg)):
        return f'{where}. {checkpoint} is the last checkpoint; it can be tested, but not resumed from'
    resume = f'--resume {shlex.quote(str(checkpoint))}'
    return f'{where}. {checkpoint} is the last checkpoint: the same command with {resume} goes on from it'
