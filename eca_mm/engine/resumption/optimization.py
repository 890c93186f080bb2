"""Resume the optimiser and its schedules, with the checkpoint's settings or with new ones from the config."""

import copy
from typing import Any

from mmengine.runner import EpochBasedTrainLoop

from eca_mm.errors import UserError


def load_optimizer(runner: Any, state: dict[str, Any], file: str) -> None:
    """Load the optimiser's state.

    Raises:
        UserError: If it is another optimiser's.
    """
    wrapper = runner.optim_wrapper
    optimizer = getattr(wrapper, 'optimizer', wrapper)
    try:  # here and not in mmengine, which has more in it that raises these
        wrapper.load_state_dict(state)
    except (KeyError, ValueError) as error:
        raise UserError(
            f'{file} holds the state of another optimiser than {type(optimizer).__name__} with its parameters ({error}): '
            f'resume with the optim_wrapper that it was trained with, or start from its weights, --cfg-options load_from={file}'
        ) from error


def load_optimizer_with_new_settings(runner: Any, state: dict[str, Any], file: str) -> None:
    """Load the optimiser's state, such as its momentum, but keep the settings of the config.

    The state starts anew where the config has another optimiser, or other groups of parameters.

    Raises:
        UserError: If there are several optimisers.
    """
    optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
    if optimizer is None:
        raise UserError(f'{file}: the settings of several optimisers cannot be changed on resuming: set them back')
    settings = [{key: value for key, value in group.items() if key != 'params'} for group in optimizer.param_groups]
    start = copy.deepcopy(optimizer.state_dict())
    theirs = state.get('param_groups') or []
    alike = [len(group['params']) for group in theirs] == [len(group['params']) for group in optimizer.param_groups]
    if alike and {*start['param_groups'][0]} <= {*theirs[0]}:  # of one class: each has settings that others have not
        runner.optim_wrapper.load_state_dict(state)
    else:
        runner.logger.warning('the state of the optimiser starts anew: the checkpoint has that of another one')
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        for key in [key for key in group if key not in own and key != 'params']:
            del group[key]
        group.update(own)


def take_new_schedule(runner: Any) -> None:
    """Build the config's schedules and bring them to the resumed iteration, as if the run had begun with them."""
    if runner.cfg.get('param_scheduler') is None:
        return
    for group in runner.optim_wrapper.optimizer.param_groups:
        for key in [key for key in group if key.startswith('initial_')]:
            group[key.removeprefix('initial_')] = group[key]
    runner.param_schedulers = runner.build_param_scheduler(copy.deepcopy(runner.cfg.param_scheduler))
    epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
    length = len(runner.train_loop.dataloader)
    for iteration in range(1, runner.iter + 1):
        for scheduler in runner.param_schedulers:
            if not scheduler.by_epoch or (epochs and iteration % length == 0):
                scheduler.step()
