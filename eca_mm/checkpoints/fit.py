"""Whether weights are sound, and whether they and a model fit, all of them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from eca_mm.errors import UserError

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_values(weights: Mapping[str, Tensor], what: str) -> None:
    """Makes sure that weights are dense numbers of the usual kinds, all of them finite.

    Args:
        weights: A state dict.
        what: Names it in the message, e.g. the file.

    Raises:
        ValueError: If one is quantised, sparse, without data, or not float16, bfloat16, float32 or float64, with its name
            and dtype; only BN's count of batches may be an integer. If one has NaN or infinity.
    """
    for key, value in weights.items():
        traits = (
            (str(value.layout), value.layout != torch.strided),
            ('nested', value.is_nested),
            ('without data', value.device.type == 'meta'),
        )
        kind = [str(value.dtype), *(name for name, there in traits if there)]
        counts = key.endswith('num_batches_tracked') and value.dtype in _INTEGERS
        if len(kind) > 1 or not (counts or value.dtype in _DTYPES):
            raise UserError(
                f'{what} has {key} in {", ".join(kind)}: weights must be dense tensors of float16, bfloat16, float32 or float64'
            )
    bad = [key for key, value in weights.items() if not value.isfinite().all()]
    if bad:
        raise UserError(
            f'{what} has NaN or infinity in {len(bad)} weights: {", ".join(bad[:4])}{", ..." if len(bad) > 4 else ""}'
        )


def check_fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], what: str) -> None:
    """Compares the names and shapes of a model's state with those of a file.

    Args:
        own: The model's ``state_dict()``.
        weights: The file's.
        what: Names both in the message, e.g. ``'resnet50.pth does not fit ECAResNet'``.

    Raises:
        ValueError: If a weight is missing, has another shape, or has no place. BN's count of batches may be missing, as
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
        f'{len(keys)} {kind}: {", ".join(keys[:4])}{", ..." if len(keys) > 4 else ""}'
        for kind, keys in (('missing', missing), ('of another shape', shapes), ('without a place', unexpected))
        if keys
    ]
    if problems:
        raise UserError(f'{what}: {"; ".join(problems)}')
