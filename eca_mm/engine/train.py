"""Training, from a config to a summary."""

import contextlib
import shlex
import signal
import time
import warnings
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, is_main_process

from eca_mm.checkpoints import check_start, read_checkpoint, weights_of
from eca_mm.checkpoints.download import local_file
from eca_mm.datasets.guarded import unreadable_images
from eca_mm.engine.config.batch import apply_batch
from eca_mm.engine.distributed import TIMEOUT, init_distributed, lost_processes, timeout_of
from eca_mm.engine.exhausted import exhausted
from eca_mm.engine.files import check_data, check_weights, require
from eca_mm.engine.invalid_loss import InvalidLossHook
from eca_mm.engine.pictures import PicturesHook
from eca_mm.engine.restored import restored_globals
from eca_mm.engine.resumption.changes import RunRecord
from eca_mm.engine.resumption.randomness import SeedHook
from eca_mm.engine.resumption.saving import PreemptionHook
from eca_mm.engine.resumption.stopping import Signals, Stop
from eca_mm.engine.resumption.work_dir import by_main_process, choose, claimed
from eca_mm.engine.runner import StrictRunner, bare_model
from eca_mm.engine.summary import Summary
from eca_mm.errors import Interrupted, UserError
from eca_mm.output import full_disk, make_folder
from eca_mm.streams import lenient_streams


@restored_globals()
def train(
    cfg: Config,
    *,
    launcher: str = 'none',
    resume: str | None = None,
    overwrite: bool = False,
    checkpoint_every: float | None = None,
    amp: bool = False,
    compile: bool = False,
    seed: int | None = None,
    skip_unreadable: int = 0,
    resume_with_changes: bool = False,
) -> Summary:
    """Trains what the config describes and validates as often as it says.

    SIGINT, SIGTERM, SIGHUP and SIGUSR1 have it finish the optimiser's step and write a checkpoint. Under torchrun, a group of
    processes that is started again goes on from the newest checkpoint by itself.

    Args:
        cfg: From :func:`load_config`; changed in place.
        launcher: 'none', 'pytorch' (torchrun), 'slurm' or 'mpi'.
        resume: 'auto' for the newest whole checkpoint of the work directory (no file there: start anew), or a path;
            None for what the config says.
        overwrite: Remove the checkpoints of an earlier run in the work directory, which else are refused.
        checkpoint_every: Minutes between two checkpoints, besides those of the config; they are written beside the training.
        amp: Mixed precision, on a GPU.
        compile: Compile the training step with ``torch.compile``, as the config's ``compile`` says if it does.
        seed: Of weights, sampling and augmentation; None for the config's, or 0.
        skip_unreadable: How many images of the training set may be unreadable, in each process: random others take their
            places, and the summary names them. An unreadable image of the validation set always ends the run.
        resume_with_changes: Take settings that differ from the checkpoint's and make another run, which else are refused.

    Raises:
        MissingFileError: If data, weights or the checkpoint are missing.
        ExistingFileError: If there are checkpoints of another run in the work directory.
        UserError: If the config, the annotations or an image are wrong, or the checkpoint cannot be read or does not fit; if
            the work directory cannot be made, another run is writing into it, its disk is full, or resuming from it would
            start anew over the checkpoints in it.
        Interrupted: After Ctrl-C or another signal.
    """
    if skip_unreadable < 0:
        raise UserError(f'--skip-unreadable must be a number of images, got {skip_unreadable}')
    if checkpoint_every is not None and not checkpoint_every > 0:
        raise UserError(f'--checkpoint-every must be a number of minutes, got {checkpoint_every}')
    processes = init_distributed(cfg, launcher)
    require(cfg, 'training', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    with contextlib.ExitStack() as stack:
        stack.enter_context(lenient_streams())
        signals = stack.enter_context(Signals())
        stack.enter_context(full_disk(cfg.work_dir, ' and go on with --resume, or choose another --work-dir'))
        stack.enter_context(lost_processes(cfg))
        stack.enter_context(exhausted('; the same command with --resume goes on from the last checkpoint'))
        restarted = by_main_process(lambda: stack.enter_context(claimed(cfg.work_dir)))
        make_folder(cfg.work_dir, '--work-dir')  # on other nodes
        _set_options(cfg, amp, compile, seed)
        old = _set_checkpoint(cfg, resume, overwrite, restarted)
        preemption = PreemptionHook(signals, checkpoint_every, timeout_of(cfg))
        try:
            record = RunRecord(cfg, resume_with_changes)
            return _train(cfg, processes, skip_unreadable, preemption, old, record)
        except (Stop, Exception) as error:
            # Outside the steps a signal raises wherever the process is, and libraries make other exceptions of it.
            if isinstance(error, UserError | Interrupted) or not signals.received or signals.finishing:
                raise
            name = signal.Signals(signals.received).name
            raise Interrupted(f'stopped by {name} before the training began', 128 + signals.received) from None


def _train(
    cfg: Config, processes: int, skip_unreadable: int, preemption: PreemptionHook, old: list[Path], record: RunRecord
) -> Summary:
    check_data(cfg, 'train_dataloader', 'val_dataloader')
    if cfg.get('load_from'):  # what it lacks of the backbone is looked for when the model is there to tell
        local_file(cfg.load_from)
    else:
        check_weights(cfg)
    if cfg.resume and 'init_cfg' in (cfg.model.get('backbone') or {}):
        cfg.model.backbone.init_cfg = None  # its weights are in the checkpoint, or that is refused
    batch = apply_batch(cfg, processes)
    for loader in filter(None, (cfg.train_dataloader, cfg.get('val_dataloader'))):
        if loader.get('num_workers'):
            loader.setdefault('timeout', TIMEOUT)  # else a worker that hangs is waited for without end

    runner = StrictRunner(cfg, batch=batch, skip_unreadable=skip_unreadable, record=record)
    if cfg.get('load_from') and not cfg.resume:
        _prefer_load_from(cfg, runner)
    runner.build_loop('train')
    runner.build_loop('val')
    pictures = PicturesHook(cfg.get('pictures') or 0)
    for hook in (SeedHook(), InvalidLossHook(cfg.get('max_invalid_losses', 3)), pictures, preemption):
        runner.register_hook(hook)
    if batch is not None:
        runner.logger.info(f'Batch: {batch}')
    if is_main_process():
        for file in old:
            file.unlink()
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            # Mixed precision may pass over the optimiser's first step.
            warnings.filterwarnings('ignore', 'Detected call of `scheduler.step', UserWarning)
            runner.train()
    except Stop as stop:
        if stop.iteration is None:  # in a validation
            preemption.rescue(runner)
        message = _how_to_continue(runner, stop.number, stop.iteration)
        raise Interrupted(message, 128 + stop.number) from None
    except KeyboardInterrupt:
        raise Interrupted(_how_to_continue(runner)) from None
    except Exception:
        preemption.rescue(runner)
        raise
    finally:
        preemption.close()
    trained, validated = runner.iter > runner.resumed_iter, getattr(runner.train_loop, 'validated', False)
    metrics = {
        name.removeprefix('val/'): float(buffer.current())
        for name, buffer in runner.message_hub.log_scalars.items()
        if name.startswith('val/') and not name.endswith('time')
    }
    if not trained and not validated:
        metrics = {}  # of an earlier run
    seconds, work_dir = time.perf_counter() - start, Path(cfg.work_dir)
    skipped = {path for part in all_gather_object(unreadable_images(runner.train_dataloader.dataset)) for path in part}
    return Summary(
        cfg.filename,
        work_dir,
        seconds,
        runner.last_checkpoint,
        metrics,
        pictures.folder,
        trained=trained,
        validated=validated,
        unreadable=sorted(skipped),
    )


def _set_options(cfg: Config, amp: bool, compile: bool, seed: int | None) -> None:
    randomness = cfg.get('randomness') or {}
    cfg.randomness = dict(randomness, seed=seed if seed is not None else randomness.get('seed') or 0)
    if compile:
        cfg.compile = cfg.get('compile') or True
    if amp:
        if not torch.cuda.is_available():
            raise UserError('--amp needs a GPU, and torch sees none')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _set_checkpoint(cfg: Config, resume: str | None, overwrite: bool, restarted: bool) -> list[Path]:
    """Sets the checkpoint to go on from; returns the files to remove when the training begins."""
    if resume is None and cfg.get('resume'):
        resume = cfg.get('load_from') or 'auto'
    checkpoint, old = by_main_process(lambda: choose(cfg.work_dir, resume, overwrite, restarted))
    cfg.resume = checkpoint is not None
    if checkpoint:
        cfg.load_from = str(checkpoint)
    return old


def _prefer_load_from(cfg: Config, runner: StrictRunner) -> None:
    """Skips the backbone's pretrained weights if ``load_from`` has all of the backbone; else they must be there."""
    model, given = bare_model(runner.model), weights_of(read_checkpoint(cfg.load_from), cfg.load_from)
    check_start(model.state_dict(), given, cfg.load_from)
    own = {key for key in model.state_dict() if key.startswith('backbone.') and not key.endswith('num_batches_tracked')}
    if own and own <= given.keys():
        model.backbone.init_cfg = None
    else:
        check_weights(cfg)


def _how_to_continue(runner: StrictRunner, number: int = signal.SIGINT, iteration: int | None = None) -> str:
    by = 'interrupted' if number == signal.SIGINT else f'stopped by {signal.Signals(number).name}'
    epoch, stage = runner.epoch, runner.message_hub.runtime_info.get('loop_stage')
    where = f'the validation after epoch {epoch}' if stage == 'val' else f'epoch {min(epoch + 1, runner.max_epochs)}'
    done = runner.iter if iteration is None else iteration
    where = f'{by} in {where} of {runner.max_epochs}, iteration {done} of {runner.max_iters}'
    checkpoint = runner.last_checkpoint
    if checkpoint is None:
        return f'{where}, before the first checkpoint of this run: nothing to resume'
    here = checkpoint.parent.resolve() == Path(runner.work_dir).resolve()
    resume = '--resume' if here else f'--resume {shlex.quote(str(checkpoint))}'
    return f'{where}. {checkpoint} is the last checkpoint: the same command with {resume} goes on from it'
