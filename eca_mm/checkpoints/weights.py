"""Find the weights in a checkpoint of any library; check their values and their fit to a model."""

import re
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from eca_mm.errors import UserError

_ENTRIES = ('state_dict', 'model')
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# The number of averaged models, which torch's and mmengine's averaged models keep among the weights.
COUNTERS = ('n_averaged', 'steps')


def strip_prefixes(key: str) -> str:
    """Strip the prefixes of DataParallel, AveragedModel and torch.compile from a key.

    >>> strip_prefixes('module._orig_mod.conv1.weight')
    'conv1.weight'
    """
    return re.sub(r'^((module|_orig_mod)\.)+', '', key)


def find_weights(
    checkpoint: Mapping[str, Any], what: str = 'the checkpoint', entry: str | None = None
) -> tuple[str | None, dict[str, Tensor]]:
    """Return the weights of an entry of a checkpoint: by default ``state_dict``, ``model`` or the checkpoint itself.

    Returns:
        The entry, None for the checkpoint itself, and the tensors in it by their keys there.

    Raises:
        UserError: If there is no such entry, or it is not a dictionary with tensors by name; if a tensor is sparse, without
            values, or a few values repeated to more than memory has.
    """
    if entry is not None and entry not in checkpoint:
        raise UserError(f'{what} has no entry {entry!r}, its entries are {first_names(checkpoint, 5)}')
    if entry is None:
        entry = next((name for name in _ENTRIES if name in checkpoint), None)
    state = checkpoint if entry is None else checkpoint[entry]
    if not isinstance(state, Mapping):
        raise UserError(f'{what} has a {type(state).__name__} under {entry!r}, not a dictionary of weights')
    named = {key: value for key, value in state.items() if isinstance(key, str) and key not in COUNTERS}
    tensors = {key: value.detach() for key, value in named.items() if isinstance(value, Tensor)}
    if not tensors:
        others = [name for name, value in checkpoint.items() if is_weights(value)]
        advice = f'; tools/convert_checkpoint.py --entry {others[0]} takes those that are there' if others else ''
        raise UserError(f'{what} holds no weights: its entries are {first_names(state, 5)}{advice}')
    for key, value in tensors.items():
        if kind := _unusable(value):
            raise UserError(f'{what} has {shorten(key)} {kind}: weights must be dense tensors')
    return entry, tensors


def _unusable(tensor: Tensor) -> str:
    """Say why a tensor is no dense one with values; '' if it is."""
    if tensor.layout != torch.strided:
        return 'sparse'
    if tensor.is_meta:
        return 'without values'
    # By strides of 0: any sum over it would not end.
    repeated = tensor.numel() > 2**30 and tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()
    return 'as few values repeated' if repeated else ''


def weights_of(checkpoint: Mapping[str, Any], what: str = 'the checkpoint') -> dict[str, Tensor]:
    """Return the weights in a checkpoint by their keys without prefixes; raise UserError as :func:`find_weights`."""
    return {strip_prefixes(key): value for key, value in find_weights(checkpoint, what)[1].items()}


def is_weights(value: Any) -> bool:
    """Check whether a value is a dictionary of tensors."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(item, Tensor) for item in value.values())


def check_values(weights: Mapping[str, Tensor], what: str) -> None:
    """Check that weights are finite numbers of the usual dtypes.

    Raises:
        UserError: If one is not float16, bfloat16, float32 or float64 (BN's count of batches may be an integer), with its
            name and dtype; if one has NaN or infinity, or is a variance below 0. Begins with ``what``, e.g. the file.
    """
    for key, value in weights.items():
        if value.dtype not in _DTYPES and not key.endswith('num_batches_tracked'):
            raise UserError(
                f'{what} has {shorten(key)} in {value.dtype}: weights must be float16, bfloat16, float32 or float64'
            )
    if bad := [key for key, value in weights.items() if not value.isfinite().all()]:
        raise UserError(f'{what} has NaN or infinity in {len(bad)} weights: {first_names(bad)}')
    if bad := [key for key, value in weights.items() if key.endswith('running_var') and (value < 0).any()]:
        raise UserError(f'{what} has variances below 0 in {len(bad)} weights: {first_names(bad)}')


def check_fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], what: str) -> None:
    """Compare the names and shapes of a model's state dict with those of a file's weights.

    BN's count of batches may be missing: files older than PyTorch 0.4.1 lack it, and BN's default momentum does not use it.

    Raises:
        UserError: If a weight is missing, unexpected, or of another shape. Begins with ``what``, e.g.
            ``'resnet50.pth does not fit ECAResNet'``.
    """
    problems = {
        'missing': [key for key in own if key not in weights and not key.endswith('.num_batches_tracked')],
        'of another shape': [
            f'{key} is {tuple(weights[key].shape)} in the file and {tuple(own[key].shape)} here'
            for key in own
            if key in weights and weights[key].shape != own[key].shape
        ],
        'without a place': [key for key in weights if key not in own],
    }
    if found := [f'{len(keys)} {kind}: {first_names(keys)}' for kind, keys in problems.items() if keys]:
        raise UserError(f'{what}: {"; ".join(found)}')


def adapt_input_channels(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Adapt the first convolution's weights from three input channels to those of a model, as timm's ``in_chans`` does.

    For one channel they are summed over the three. For more, they are repeated in order (R, G, B, R, ...) and multiplied by
    3 / channels, so that an image of equal channels gives the features of a grey one. Other weights stay as they are.

    Args:
        own: State dict of the model.
        weights: By the same keys.
    """
    adapted = dict(weights)
    for key, value in weights.items():
        if key not in own or value.ndim != 4 or value.shape[1] != 3:
            continue
        rows, channels, *size = own[key].shape
        if channels == 3 or value.shape != (rows, 3, *size):
            continue
        if channels == 1:
            adapted[key] = value.sum(1, keepdim=True)
        else:
            adapted[key] = value.repeat(1, -(-channels // 3), 1, 1)[:, :channels] * (3 / channels)
    return adapted


def first_names(names: Collection[object], count: int = 4, between: str = ', ') -> str:
    """Join the first of many names, for a message.

    >>> first_names('abcdef'), first_names('')
    ('a, b, c, d, ...', 'none')
    """
    return between.join([*map(shorten, islice(names, count)), *['...'] * (len(names) > count)]) or 'none'


def shorten(name: object) -> str:
    """Shorten a name to 250 characters, for a message.

    >>> len(shorten('k' * 5_000_000)), shorten('conv1.weight')
    (253, 'conv1.weight')
    """
    return text if len(text := str(name)) <= 250 else f'{text[:250]}...'


class EmptyOnMeta(TorchFunctionMode):
    """Build layers without memory for weights: ``torch.empty`` uses the device meta; other constants stay on the CPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **{**(kwargs or {}), **({'device': 'meta'} if func is torch.empty else {})})
