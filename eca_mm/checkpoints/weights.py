"""The weights in a checkpoint: found by one rule, whoever wrote it."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eca_mm.checkpoints.fit import first_names
from eca_mm.errors import UserError

_ENTRIES = ('state_dict', 'model')
_WRAPPERS = re.compile(r'^((module|_orig_mod)\.)+')
# How many models an average is of: torch's AveragedModel keeps it among the weights, and mmengine's.
COUNTERS = ('n_averaged', 'steps')


def plain(key: str) -> str:
    """The key without what DataParallel, AveragedModel and torch.compile put before it.

    >>> plain('module._orig_mod.conv1.weight')
    'conv1.weight'
    """
    return _WRAPPERS.sub('', key)


def find_weights(
    checkpoint: Mapping[str, Any], what: str = 'the checkpoint', entry: str | None = None
) -> tuple[str | None, dict[str, Tensor]]:
    """The weights in a checkpoint: those under ``state_dict``, those under ``model``, or the checkpoint itself.

    Args:
        checkpoint: From :func:`eca_mm.checkpoints.read_checkpoint`.
        what: Names it in messages.
        entry: Take those of this entry.

    Returns:
        The entry, None for the checkpoint itself, and the weights by the keys that they have there: what is no tensor is
        no weight.

    Raises:
        UserError: If there is no such entry, or it is not a dictionary with tensors by name.
    """
    if entry is not None and entry not in checkpoint:
        raise UserError(f'{what} has no entry {entry!r}, its entries are {first_names(checkpoint, 5)}')
    if entry is None:
        entry = next((name for name in _ENTRIES if name in checkpoint), None)
    state = checkpoint if entry is None else checkpoint[entry]
    if not isinstance(state, Mapping):
        raise UserError(f'{what} has a {type(state).__name__} under {entry!r}, not a dictionary of weights')
    if not any(isinstance(value, Tensor) for value in state.values()):
        others = [name for name, value in checkpoint.items() if is_weights(value)]
        advice = f'; tools/convert_checkpoint.py --entry {others[0]} takes those that are there' if others else ''
        raise UserError(f'{what} holds no weights: its entries are {first_names(state, 5)}{advice}')
    tensors = {key: value.detach() for key, value in state.items() if isinstance(value, Tensor) and key not in COUNTERS}
    return entry, tensors


def weights_of(checkpoint: Mapping[str, Any], what: str = 'the checkpoint') -> dict[str, Tensor]:
    """The weights in a checkpoint by their plain names, see :func:`find_weights` and :func:`plain`.

    Raises:
        UserError: As :func:`find_weights`.
    """
    return {plain(key): value for key, value in find_weights(checkpoint, what)[1].items()}


def is_weights(value: Any) -> bool:
    """Whether it is a dictionary of tensors."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(item, Tensor) for item in value.values())
