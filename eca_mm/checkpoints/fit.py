"""Whether weights are sound, and whether they and a model fit, all of them."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from eca_mm.errors import UserError

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_values(weights: Mapping[str, Tensor], what: str) -> None:
    """Makes sure that weights are numbers of the usual kinds, all of them finite.

    Args:
        weights: A state dict.
        what: Names it in the message, e.g. the file.

    Raises:
        UserError: If one is not float16, bfloat16, float32 or float64 (BN's count of batches may be an integer), with its
            name and dtype; or if one has NaN or infinity.
    """
    for key, value in weights.items():
        if value.dtype not in _DTYPES and not key.endswith('num_batches_tracked'):
            raise UserError(f'{what} has {key} in {value.dtype}: weights must be float16, bfloat16, float32 or float64')
    bad = [key for key, value in weights.items() if not value.isfinite().all()]
    if bad:
        raise UserError(f'{what} has NaN or infinity in {len(bad)} weights: {first_names(bad)}')


def check_fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], what: str) -> None:
    """Compares the names and shapes of a model's state with those of a file.

    Args:
        own: The model's ``state_dict()``.
        weights: The file's.
        what: Names both in the message, e.g. ``'resnet50.pth does not fit ECAResNet'``.

    Raises:
        UserError: If a weight is missing, has another shape, or has no place. BN's count of batches may be missing, as
            files older than PyTorch 0.4.1 lack it; nothing depends on it with BN's default momentum.
    """
    missing = [key for key in own if key not in weights and not key.endswith('.num_batches_tracked')]
    shapes = [
        f'{key} is {tuple(weights[key].shape)} in the file and {tuple(own[key].shape)} here'
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    unexpected = [key for key in weights if key not in own]
    problems = [
        f'{len(keys)} {kind}: {first_names(keys)}'
        for kind, keys in (('missing', missing), ('of another shape', shapes), ('without a place', unexpected))
        if keys
    ]
    if problems:
        raise UserError(f'{what}: {"; ".join(problems)}')


def first_names(names: Collection[object], count: int = 4, between: str = ', ') -> str:
    """The first of many names, for a message.

    >>> first_names('abcdef'), first_names('')
    ('a, b, c, d, ...', 'none')
    """
    return between.join([*map(str, names)][:count] + ['...'] * (len(names) > count)) or 'none'
