"""Weights from files and names, and into files: tensors and plain metadata, never code."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eca_mm.checkpoints.config_text import backbone_config
from eca_mm.checkpoints.download import local_file
from eca_mm.checkpoints.known import check_arch, timm_weights
from eca_mm.checkpoints.reading import read_checkpoint
from eca_mm.checkpoints.weights import COUNTERS, find_weights, is_weights
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
        tensors: Its state dict.
        path: The file; None for weights that never were in one.
        dropped: Name of each other entry -> why it is left out.
        config: The backbone's arguments in the config with which OpenMMLab's libraries trained it, or that we wrote;
            empty where there is none.
        notes: Sentences for the user about what is not known of the weights.
    """

    tensors: dict[str, Tensor]
    path: Path | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_weights(source: str, entry: str | None = None) -> Weights:
    """Reads the weights of a checkpoint without running code from it.

    Args:
        source: A file of torch.save or of safetensors, a URL of one, a name of :data:`eca_mm.checkpoints.known.KNOWN`,
            ``timm://NAME``, or one of mmengine's names, such as ``torchvision://resnet50``.
        entry: The entry of the checkpoint that holds the weights, see :func:`find_weights`.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If it cannot be had or read, as :func:`read_checkpoint`; if it holds no weights, as
            :func:`find_weights`; if it names a network that is none of ours.
    """
    if source.startswith('timm://'):
        if entry is not None:
            raise UserError(f'{source} has no entries: leave out --entry {entry}')
        return Weights(timm_weights(source.removeprefix('timm://')))
    checkpoint = read_checkpoint(source)
    check_arch(str(checkpoint.get('arch')), source)
    entry, tensors = find_weights(checkpoint, source, entry)
    state = checkpoint[entry] if entry else checkpoint
    dropped = {key: _reason(key, value) for key, value in checkpoint.items() if key != entry} if entry else {}
    dropped |= {key: _reason(key, value) for key, value in state.items() if key not in tensors}
    meta = checkpoint['meta'] if isinstance(checkpoint.get('meta'), dict) else {}
    weights = Weights(tensors, local_file(source), dict(sorted(dropped.items())))
    text = next((meta[key] for key in ('network', 'cfg', 'config_text') if isinstance(meta.get(key), str)), None)
    if text is not None:
        try:
            weights.config = backbone_config(text)
        except UserError as error:
            weights.notes.append(f'{error}: whether its style, strides and dilations are the usual ones is not known')
    return weights


def _reason(key: str, value: Any) -> str:
    if key in COUNTERS:
        return 'how many models were averaged'
    if is_weights(value):
        return f'other weights{_OTHERS.get(key, "")}; --entry {key} takes them'
    return 'state of the training, not weights'


def write_weights(tensors: Mapping[str, Tensor], meta: dict[str, Any], path: Path, *, bare: bool = False) -> None:
    """Writes a checkpoint, the whole of it or nothing.

    ``.safetensors`` has the metadata in its header, each value as JSON; ``.pth`` is ``dict(state_dict=..., meta=...)``.

    Args:
        bare: A ``.pth`` of tensors alone, without metadata.

    Raises:
        UserError: If the file cannot be written.
    """
    state = {key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    if path.suffix == '.safetensors':
        header = {'format': 'pt', **{key: json.dumps(value) for key, value in meta.items()}}
        try:
            import safetensors.torch
        except ImportError as error:
            raise UserError(f'{path} needs the package safetensors: pip install safetensors') from error
        data = safetensors.torch.save(state, header)
    else:
        buffer = io.BytesIO()
        torch.save(state if bare else dict(state_dict=state, meta=meta), buffer)
        data = buffer.getvalue()
    write_atomically(path, data)
