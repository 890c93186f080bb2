"""mmengine's Runner, strict where it is lenient and quiet where it is a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from eca_mm.checkpoints import check_fit


class StrictRunner(Runner):
    """Runner that resumes and tests a checkpoint only if every weight of it fits the model.

    mmengine's own loads what fits and warns. Fine-tuning with ``load_from`` keeps that leniency: there it is the point.
    """

    strict = False

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self._filename = filename
        return super().load_checkpoint(filename, *args, **kwargs)

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        if fn_name == 'after_load_checkpoint' and self.strict:
            self._check(kwargs['checkpoint'])
        super().call_hook(fn_name, **kwargs)

    def _check(self, checkpoint: dict[str, Any]) -> None:
        model = self.model.module if is_model_wrapper(self.model) else self.model
        check_fit(model.state_dict(), weights_of(checkpoint), f'{self._filename} does not fit the config')

    def resume(self, filename: str, **kwargs: Any) -> None:
        """Resumes weights, optimiser, schedules and counters.

        Raises:
            FileNotFoundError, ValueError: If the checkpoint cannot be read or does not fit; also if it was written with
                another batch or dataset, whose iterations are not this run's, or in the middle of an epoch.
        """
        self.strict = True
        mine = self.batch
        super().resume(filename, **kwargs)
        theirs = self.batch
        if mine != theirs and None not in (mine, theirs):
            raise ValueError(f'{filename} was trained with {theirs}, this run has {mine}: resume with the former')
        expected = self.epoch * len(self.train_dataloader)
        if isinstance(self.train_loop, EpochBasedTrainLoop) and self.iter != expected:
            raise ValueError(
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


def weights_of(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The state dict in a checkpoint, or the checkpoint itself, without DataParallel's ``module.``."""
    state_dict = checkpoint.get('state_dict', checkpoint)
    return {key.removeprefix('module.'): value for key, value in state_dict.items()}


@contextmanager
def building(what: str) -> Iterator[None]:
    """Turns what builders raise for a wrong key, type or value in a config into a ValueError that says so."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'the config does not build {what}: {error}') from error
    except (TypeError, KeyError, AssertionError, AttributeError, ImportError) as error:
        raise ValueError(f'the config does not build {what}: {type(error).__name__}: {error}') from error


def build_runner(cfg: Config) -> StrictRunner:
    """Builds the runner with its model.

    Raises:
        ValueError: If the config is wrong.
    """
    with building('a model'):
        return StrictRunner.from_cfg(cfg)
