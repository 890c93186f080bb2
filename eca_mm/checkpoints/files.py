"""Weights from files and names, into backbones, and into files: tensors and plain metadata, never code."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eca_mm.checkpoints.config_text import backbone_config
from eca_mm.checkpoints.download import local_file
from eca_mm.checkpoints.fit import another_network
from eca_mm.checkpoints.keys import find_layout, to_ours
from eca_mm.checkpoints.known import check_kernel_sizes, timm_weights
from eca_mm.checkpoints.reading import import_safetensors, read_checkpoint
from eca_mm.checkpoints.weights import COUNTERS, check_fit, check_values, find_weights, is_weights
from eca_mm.errors import UserError
from eca_mm.output import write_atomically

SUFFIXES = ('.pth', '.safetensors')

# Weights besides those that are taken.
_OTHERS = {
    'state_dict_ema': ', the averaged ones',  # timm
    'model_ema': ', the averaged ones',  # torchvision
    'ema_state_dict': ', with mmengine those before averaging',  # its EMAHook puts the average into state_dict
}


@dataclass
class Weights:
    """The weights in a checkpoint, and what else it held.

    Attributes:
        path: The file; None for weights that never were in one.
        dropped: Name of each other entry -> why it is left out.
        config: The backbone's arguments in the config with which OpenMMLab's libraries trained it, or that we wrote.
        note: A sentence for the user about what is not known of the weights.
    """

    tensors: dict[str, Tensor]
    path: Path | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    note: str = ''


def read_weights(source: str, entry: str | None = None) -> Weights:
    """Reads the weights of a checkpoint without running code from it.

    Args:
        source: A file of torch.save or of safetensors, a URL of one, a name of :data:`eca_mm.checkpoints.known.KNOWN`,
            ``timm://NAME``, or one of mmengine's names, such as ``torchvision://resnet50``.
        entry: The entry of the checkpoint that holds the weights, see :func:`find_weights`.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If it cannot be had or read, as :func:`read_checkpoint`; if it holds no weights, as
            :func:`find_weights`; if it is of an anti-aliased network of timm, whose keys and shapes are those of others.
    """
    from_timm = source.startswith('timm://')
    checkpoint = {} if from_timm else read_checkpoint(source)
    name = source.removeprefix('timm://') if from_timm else str(checkpoint.get('arch'))  # which timm's training wrote
    if re.search('resnet(aa|blur)', name):
        raise UserError(f'{source} is of {name}, which is anti-aliased, as no ResNet here is')
    if from_timm and entry is not None:
        raise UserError(f'{source} has no entries: leave out --entry {entry}')
    if from_timm:
        return Weights(timm_weights(name))
    entry, tensors = find_weights(checkpoint, source, entry)
    state = checkpoint[entry] if entry else checkpoint
    others = {key: value for key, value in {**checkpoint, **state}.items() if key != entry and key not in tensors}
    weights = Weights(tensors, local_file(source), {key: _reason(key, others[key]) for key in sorted(others)})
    meta = checkpoint['meta'] if isinstance(checkpoint.get('meta'), dict) else {}
    text = next((meta[key] for key in ('network', 'cfg', 'config_text') if isinstance(meta.get(key), str)), '')
    try:
        weights.config = backbone_config(text)
    except UserError as error:
        weights.note = f'{error}: whether its style, strides and dilations are the usual ones is not known'
    return weights


def _reason(key: str, value: Any) -> str:
    if key in COUNTERS:
        return 'how many models were averaged'
    if is_weights(value):
        return f'other weights{_OTHERS.get(key, "")}; --entry {key} takes them'
    return 'state of the training, not weights'


def load_backbone(backbone: nn.Module, source: str) -> None:
    """Loads pretrained weights into a backbone and makes sure that every one of its weights was in the file.

    Understands what ``tools/convert_checkpoint.py`` does, from any source of :func:`read_weights`: bare backbones, the
    authors', torchvision's and timm's classifiers, and the classifiers and detectors that OpenMMLab trains. It passes over
    what the backbone has no part for: classifiers, necks, heads, and later stages.

    Raises:
        UserError: As :func:`read_weights`, :func:`find_layout`, :func:`check_kernel_sizes`, :func:`check_fit` and
            :func:`check_values`, in words where the file is of another network; also if a config in the file states another
            style than the backbone has. The backbone is then unchanged.
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
    try:
        check_fit(backbone.state_dict(), weights, what)
    except UserError as error:
        words = another_network(backbone.state_dict(), file.tensors, source, file.config)
        raise UserError(words or str(error)) from error
    check_values(weights, source)
    style, own = file.config.get('style', 'pytorch'), getattr(backbone, 'style', None)
    bottlenecks = 'layer1.0.conv3.weight' in weights  # whose stride the style moves, and no tensor tells
    if file.config and bottlenecks and style != own:
        raise UserError(f'{what}: its config says style={style!r}, and the backbone has style={own!r}')
    backbone.load_state_dict(weights, strict=False)


def write_weights(tensors: Mapping[str, Tensor], meta: dict[str, Any], path: Path, *, bare: bool = False) -> None:
    """Writes a checkpoint, the whole of it or nothing.

    ``.safetensors`` has the metadata in its header, each value as JSON; ``.pth`` is ``dict(state_dict=..., meta=...)``,
    or, if it is to be ``bare``, the tensors alone.

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
