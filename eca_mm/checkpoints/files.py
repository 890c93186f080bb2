"""Read weights from files and names, load them into backbones, write them: tensors and plain metadata, never code."""

import contextlib
import inspect
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eca_mm.checkpoints.config_text import parse_backbone
from eca_mm.checkpoints.download import local_file
from eca_mm.checkpoints.fit import another_network, check_model
from eca_mm.checkpoints.keys import find_layout, to_ours
from eca_mm.checkpoints.known import check_kernel_sizes, timm_weights
from eca_mm.checkpoints.reading import import_safetensors, read_checkpoint
from eca_mm.checkpoints.weights import (
    COUNTERS,
    adapt_input_channels,
    check_fit,
    check_values,
    find_weights,
    is_weights,
    shorten,
    weights_of,
)
from eca_mm.errors import UserError
from eca_mm.output import write_atomically

SUFFIXES = ('.pth', '.safetensors')

# Other weights in a checkpoint.
_OTHERS = {
    'state_dict_ema': ', the averaged ones',  # timm
    'model_ema': ', the averaged ones',  # torchvision
    'ema_state_dict': ', with mmengine those before averaging',  # its EMAHook puts the average into state_dict
}

# Arguments of a ResNet and its relatives that no tensor shows.
_CONFIG_ONLY = ('style', 'strides', 'dilations')


@dataclass
class Weights:
    """The weights in a checkpoint, with what is known of them.

    Attributes:
        path: The file; None for weights that come from none.
        dropped: Name of each other entry -> the reason to leave it out.
        config: The backbone's arguments in the saved config, which OpenMMLab's libraries and our converter write.
        note: A note for the user on what the file does not show.
        named: Whether the source or the file names the network.
    """

    tensors: dict[str, Tensor]
    path: Path | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    note: str = ''
    named: bool = False


def read_weights(source: str, entry: str | None = None) -> Weights:
    """Read the weights of a checkpoint without running code from it.

    Args:
        source: A file of torch.save or of safetensors, a URL of one, a name of :data:`eca_mm.checkpoints.known.KNOWN`,
            ``timm://NAME``, or one of mmengine's names, such as ``torchvision://resnet50``.
        entry: The entry of the checkpoint that holds the weights, see :func:`find_weights`.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If it cannot be downloaded or read, as :func:`read_checkpoint`; if it holds no weights, as
            :func:`find_weights`; for an anti-aliased network of timm, which has the keys and shapes of a plain one.
    """
    from_timm = source.startswith('timm://')
    checkpoint = {} if from_timm else read_checkpoint(source)
    name: Any = source.removeprefix('timm://') if from_timm else checkpoint.get('arch')  # which timm's training wrote
    if isinstance(name, str) and re.search('resne(t|xt)(aa|blur)', name):
        raise UserError(f'{source} is of {shorten(name)}, which is anti-aliased, as no ResNet here is')
    if from_timm and entry is not None:
        raise UserError(f'{source} has no entries: leave out `entry={entry!r}`')
    if from_timm:
        return Weights(timm_weights(name), named=True)
    entry, tensors = find_weights(checkpoint, source, entry)
    state = checkpoint[entry] if entry else checkpoint
    others = {key: value for key, value in {**checkpoint, **state}.items() if key != entry and key not in tensors}
    weights = Weights(
        tensors, local_file(source), {str(key): _reason(key, others[key]) for key in sorted(others, key=str)}
    )
    weights.named = isinstance(name, str) or '://' in source
    try:
        weights.config = saved_backbone_config(checkpoint)
    except UserError as error:
        weights.note = f'{error}: whether its style, strides and dilations are the usual ones is not known'
    return weights


def saved_backbone_config(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the backbone's arguments in a checkpoint's config; {} without one; UserError if it is not Python."""
    meta = checkpoint['meta'] if isinstance(checkpoint.get('meta'), dict) else {}
    return parse_backbone(
        next((meta[key] for key in ('network', 'cfg', 'config_text') if isinstance(meta.get(key), str)), '')
    )


def check_checkpoint(model: nn.Module, checkpoint: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """Return the weights in a checkpoint by their keys without prefixes, if they are all the weights of the model.

    Raises:
        UserError: As :func:`weights_of`, :func:`check_model` and :func:`check_values`; if the config in the checkpoint has
            another style, other strides or dilations than the model's backbone, which no tensor shows.
    """
    weights, own = weights_of(checkpoint, source), model.state_dict()
    check_model(own, weights, source)
    check_values({key: value for key, value in weights.items() if own[key].is_floating_point()}, source)
    config = {}
    with contextlib.suppress(UserError):  # a config that is not Python
        config = saved_backbone_config(checkpoint)
    if isinstance(backbone := getattr(model, 'backbone', None), nn.Module):
        _compare_config(backbone, config, source, _CONFIG_ONLY)
    return weights


def _compare_config(backbone: nn.Module, config: Mapping[str, Any], what: str, names: Iterable[str]) -> None:
    bottlenecks = any(name.endswith('conv3') for name, _ in backbone.named_modules())  # whose stride the style moves
    for name in names if config else ():
        own, saved = getattr(backbone, name, None), config.get(name, _default(type(backbone), name))
        own, saved = (tuple(value) if isinstance(value, list) else value for value in (own, saved))
        if None not in (own, saved) and own != saved and (name != 'style' or bottlenecks):
            raise UserError(f'{what}: its config says {name}={saved!r}, and the backbone has {name}={own!r}')


def _default(cls: type, name: str) -> Any:
    """Return the default of a constructor's argument, from the first class in the MRO that names it; None without one."""
    for base in cls.__mro__:
        parameter = inspect.signature(base.__init__).parameters.get(name)  # type: ignore[misc]
        if parameter is not None and parameter.default is not parameter.empty:
            return parameter.default
    return None


def _reason(key: str, value: Any) -> str:
    if key in COUNTERS:
        return 'how many models were averaged'
    if is_weights(value):
        return f'other weights{_OTHERS.get(key, "")}; `entry={key!r}` takes them'
    return 'state of the training, not weights'


def load_backbone(backbone: nn.Module, source: str, *, adapt_input: bool = False) -> None:
    """Load pretrained weights into a backbone; every weight of the backbone must be in the file.

    Takes any source of :func:`read_weights` in any layout that ``tools/convert_checkpoint.py`` reads: bare backbones, the
    authors', torchvision's and timm's classifiers, and the classifiers and detectors that OpenMMLab trains. Classifiers, necks,
    heads, and stages that the backbone lacks are ignored. A layer that the backbone names in its ``classifiers`` keeps its own
    weights if the file has another number of classes.

    Args:
        backbone: Whose parameters are set.
        source: See :func:`read_weights`.
        adapt_input: Whether to adapt a first convolution of three input channels to the backbone's number, as timm's
            ``in_chans`` does: see :func:`~eca_mm.checkpoints.weights.adapt_input_channels`.

    Raises:
        UserError: As :func:`read_weights`, :func:`find_layout`, :func:`check_kernel_sizes`, :func:`check_fit` and
            :func:`check_values`; the message names the file's network if it is another one. Also if the config in the file has
            another style than the backbone. The backbone is then unchanged.
    """
    file = read_weights(source)
    what = f'{source} does not fit {type(backbone).__name__}'
    try:
        ours = to_ours(file.tensors, find_layout(file.tensors)).tensors
    except UserError as error:
        raise UserError(f'{what}: {error}') from error
    check_kernel_sizes(source, ours)
    parts = tuple(f'backbone.{name}.' for name, _ in backbone.named_children())
    weights = {key.removeprefix('backbone.'): value for key, value in ours.items() if key.startswith(parts)}
    own = backbone.state_dict()
    heads: Any = getattr(backbone, 'classifiers', ())
    weights |= {k: own[k] for k in weights if k.startswith(heads) and k in own and own[k].shape != weights[k].shape}
    adapted = adapt_input_channels(own, weights)
    option = '; adapt_input=True in init_cfg adapts the first convolution to the number of channels'
    advice = option if not adapt_input and any(adapted[key] is not weights[key] for key in weights) else ''
    if adapt_input:
        weights = adapted
    try:
        check_fit(own, weights, what)
    except UserError as error:
        words = another_network(own, file.tensors, source, file.config)
        raise UserError(f'{words or error}{advice}') from error
    check_values(weights, source)
    _compare_config(backbone, file.config, what, ['style'])  # a pretrained backbone is often dilated on purpose
    backbone.load_state_dict(weights, strict=False)


def write_weights(tensors: Mapping[str, Tensor], meta: dict[str, Any], path: Path, *, bare: bool = False) -> None:
    """Write a checkpoint atomically.

    ``.safetensors`` has the metadata in its header, each value as JSON; ``.pth`` is ``dict(state_dict=..., meta=...)``,
    or the tensors alone if ``bare``.

    Raises:
        UserError: If the file cannot be written.
    """
    state = {key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    if path.suffix == '.safetensors':
        header = {'format': 'pt', **{key: json.dumps(value) for key, value in meta.items()}}
        data = import_safetensors(path).torch.save(state, header)
    else:
        buffer = io.BytesIO()
        torch.save(state if bare else dict(state_dict=state, meta=meta), buffer)
        data = buffer.getvalue()
    write_atomically(path, data)
