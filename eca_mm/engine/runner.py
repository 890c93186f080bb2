"""mmengine's Runner, strict where it is lenient and quiet where it is a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from eca_mm.checkpoints import check_fit, weights_of
from eca_mm.engine.files import annotation_files, check_first_image
from eca_mm.errors import UserError


class ConfigError(ValueError):
    """Something that a config does not build."""


@contextmanager
def building(what: str) -> Iterator[None]:
    """Turns what builders raise for a wrong key, type or value in a config into a ValueError that says so."""
    try:
        yield
    except ConfigError:  # of a part of it
        raise
    except ValueError as error:
        raise ConfigError(f'the config does not build {what}: {error}') from error
    except (TypeError, KeyError, IndexError, AssertionError, AttributeError, ImportError, OSError) as error:
        raise ConfigError(f'the config does not build {what}: {type(error).__name__}: {error}') from error


class StrictRunner(Runner):
    """Runner that resumes and tests a checkpoint only if every weight of it fits the model.

    mmengine's own loads what fits and warns. Fine-tuning with ``load_from`` keeps that leniency: there it is the point.

    Attributes:
        last_checkpoint: What this run has written last, or was resumed from; None before the first.
        resumable: Whether `--resume` can go on from it.
        resumed_iter: The iteration that this run began at.
        loaded_meta: What the checkpoint that was loaded says of itself.
    """

    strict = False
    resuming = False
    last_checkpoint: Path | None = None
    resumable = True
    resumed_iter = 0
    loaded_meta: dict[str, Any] = {}

    # Where a mistake in the config is said to be. The schedule is built only after the optimiser, in `train`.
    set_randomness = building('a seed (randomness)')(Runner.set_randomness)
    build_visualizer = building('a visualizer')(Runner.build_visualizer)
    build_model = building('a model')(Runner.build_model)
    register_hooks = building('the hooks')(Runner.register_hooks)
    build_evaluator = building('an evaluator')(Runner.build_evaluator)
    build_optim_wrapper = building('an optimiser')(Runner.build_optim_wrapper)
    build_param_scheduler = building('a schedule (param_scheduler)')(Runner.build_param_scheduler)

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        super().save_checkpoint(out_dir, filename, *args, **kwargs)
        if filename.startswith('best_'):  # the hook's copy, without the optimiser
            return
        self.last_checkpoint = Path(out_dir) / filename
        # In the middle of an epoch the sampler's place in it is not in the file.
        whole = kwargs.get('by_epoch', True) or not isinstance(self.train_loop, EpochBasedTrainLoop)
        self.resumable = whole and kwargs.get('save_optimizer', True)

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self._filename = filename
        checkpoint: dict[str, Any] = super().load_checkpoint(filename, *args, **kwargs)
        self.loaded_meta = checkpoint['meta'] if isinstance(checkpoint.get('meta'), dict) else {}
        return checkpoint

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        if fn_name == 'after_load_checkpoint' and self.strict:
            self._check(kwargs['checkpoint'])
        super().call_hook(fn_name, **kwargs)

    def _check(self, checkpoint: dict[str, Any]) -> None:
        model = self.model.module if is_model_wrapper(self.model) else self.model
        check_fit(
            model.state_dict(), weights_of(checkpoint, self._filename), f'{self._filename} does not fit the config'
        )
        missing = [key for key in ('meta', 'message_hub', 'optimizer') if key not in checkpoint]
        if self.resuming and missing:
            raise UserError(
                f'{self._filename} has no {", ".join(missing)}: it holds weights, not a run to resume; to start from these '
                f'weights, --cfg-options load_from={self._filename}'
            )

    def resume(self, filename: str, **kwargs: Any) -> None:
        """Resumes weights, optimiser, schedules and counters.

        Raises:
            FileNotFoundError, ValueError: If the checkpoint cannot be read, does not fit or holds weights only; also if
                it was written with another batch or dataset, whose iterations are not this run's, or in the middle of
                an epoch.
        """
        self.strict = self.resuming = True
        mine = self.batch
        super().resume(filename, **kwargs)
        self.resumed_iter = self.iter
        theirs = self.batch
        if mine != theirs and None not in (mine, theirs):
            raise UserError(f'{filename} was trained with {theirs}, this run has {mine}: resume with the former')
        expected = self.epoch * len(self.train_dataloader)
        if isinstance(self.train_loop, EpochBasedTrainLoop) and self.iter != expected:
            raise UserError(
                f'{filename} has epoch {self.epoch} end at iteration {self.iter}, this run has it at {expected}: '
                'resume from the end of an epoch, with the same dataset'
            )

    @property
    def batch(self) -> str | None:
        """The split of the batch, as logged; kept in the message hub, hence in the checkpoints."""
        return self.message_hub.runtime_info.get('batch')

    @batch.setter
    def batch(self, batch: str) -> None:
        self.message_hub.update_info('batch', batch)


def build_runner(cfg: Config) -> StrictRunner:
    """Builds the runner with its model.

    Raises:
        ValueError: If the config is wrong.
    """
    with building('a run'):
        return StrictRunner.from_cfg(cfg)


def build_loop(runner: StrictRunner, kind: str) -> None:
    """Builds the runner's loop of a kind, 'train', 'val' or 'test', if it has one, with its data.

    Raises:
        FileNotFoundError: If the file of the first image is missing.
        ValueError: If the config is wrong, the annotations cannot be read, or there is no image.
    """
    loader = runner.cfg.get(f'{kind}_dataloader')
    data = ', '.join(str(file) for file in annotation_files(loader)) or 'its data'
    try:
        with building(f'the {kind} loop with {data}'):
            loop = getattr(runner, f'{kind}_loop')  # this property builds
    except ConfigError as error:
        if 'need at least one array to concatenate' in str(error):  # mmengine joins the annotations of no image
            raise UserError(f'{data}: no image for the {kind} loop, or none with an object of its classes') from error
        raise
    if loop is not None:
        check_first_image(loader, loop.dataloader.dataset)
