"""The attention layers of a network: ECA and SE with their variants inferred from tensors, others read from a config."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from eca_mm.errors import UserError

Attention = dict[str, Any] | None  # config of a layer


def stage_attention(stage: str, blocks: Sequence[Mapping[str, Tensor]], by_channels: bool = False) -> Attention:
    """Infer the config of a stage's attention layer; None without one.

    Args:
        stage: Its name, for messages.
        blocks: The weights of each block by their names in it, such as ``eca.conv.weight``.
        by_channels: Whether blocks may differ in channels. Different kernel sizes then mean that the layer chooses them.

    Raises:
        UserError: If the blocks differ in their attention.
    """
    found = [_block_attention(block) for block in blocks]
    if by_channels and any(layer != found[0] for layer in found):
        found = [layer and {key: value for key, value in layer.items() if key != 'kernel_size'} for layer in found]
    first, *others = found
    for other in others:
        if other != first:
            raise UserError(
                f'the blocks of {stage} differ in their attention, {source_code(first)} and {source_code(other)}; here all '
                'blocks of a stage have the same'
            )
    return first


def _block_attention(block: Mapping[str, Tensor]) -> Attention:
    ranks = {key: value.ndim for key, value in block.items()}
    if ranks.get('eca.conv.weight') == 3:
        rows, _, k = block['eca.conv.weight'].shape  # one row that all channels share, or one of each
        return dict(type='eca_mm.ECALayer' if rows == 1 else 'eca_mm.ECANSLayer', kernel_size=k)
    if ranks.get('se.fc1.weight') == 2:
        hidden, channels = block['se.fc1.weight'].shape
        bias = dict(bias=True) if 'se.fc1.bias' in block else {}
        return dict(type='eca_mm.SELayer', ratio=channels // hidden, **bias)
    if ranks.get('se.conv.weight', 0) > 1:
        channels, width = block['se.conv.weight'].shape[:2]
        return dict(type='eca_mm.SEGCLayer', groups=channels // width)
    return None


_INFERRED = ('ECALayer', 'ECANSLayer', 'SELayer', 'SEGCLayer')  # from their tensors


def attention_in_config(config: Mapping[str, Any], stages: int) -> list[Attention]:
    """Return the layer of each stage that no tensor shows, from the backbone's ``attention`` or mmdet's ``plugins``.

    None for a stage without one, and for a layer that is inferred from its tensors.

    Raises:
        UserError: If a plugin has another position than our slot, which its keys do not show, or for another number of stages.
    """
    found = [_config_only(layer) for layer in per_stage('attention', config.get('attention'), stages)]
    plugins = config.get('plugins')
    for plugin in filter(lambda plugin: isinstance(plugin, dict), plugins if isinstance(plugins, tuple) else ()):
        if (position := plugin.get('position', 'after_conv3')) != 'after_conv3':
            raise UserError(
                f'its config has a plugin with position={position!r}, and attention here is after the last norm'
            )
        if layer := _config_only(plugin.get('cfg')):
            used = per_stage('stages', plugin.get('stages') or True, stages)
            found = [layer if use else before for before, use in zip(found, used, strict=True)]
    return found


def _config_only(layer: Any) -> Attention:
    name = re.fullmatch(r'(?:eca_mm\.)?(\w+Layer)', str(layer.get('type'))) if isinstance(layer, dict) else None
    return {**layer, 'type': f'eca_mm.{name[1]}'} if name and name[1] not in _INFERRED else None


def kernel_sizes(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return ECA's kernel sizes by stage, from weights by the names of our backbones or classifiers.

    A stage without ECA has no entry.

    >>> kernel_sizes({f'layer{n}.0.eca.conv.weight': Tensor(1, 1, k) for n, k in ((1, 3), (4, 7))})
    (3, 7)
    """
    sizes = {}
    for key, value in weights.items():
        stage = re.match(r'(?:backbone\.)?\D*(\d)[a-e]?\..*\beca\.conv\.weight$', key)
        if stage and value.ndim == 3:  # (1, 1, k), or (C, 1, k) of ECA-NS
            sizes[int(stage[1])] = value.shape[2]
    return tuple(sizes[stage] for stage in sorted(sizes))


def per_stage(name: str, value: Any, num_stages: int) -> list[Any]:
    """Return one entry per stage: those of a list or tuple, or anything else repeated; UserError for another length."""
    if not isinstance(value, (list, tuple)):
        return [value] * num_stages
    if len(value) != num_stages:
        raise UserError(f'{name} needs one entry per stage, {num_stages}, got {len(value)}: {value!r}')
    return list(value)


def source_code(value: Any) -> str:
    """Write a value as a config does, with ``dict(...)``."""
    if isinstance(value, dict):
        return f'dict({arguments(value)})'
    if isinstance(value, tuple):
        return f'({", ".join(map(source_code, value))}{"," * (len(value) == 1)})'
    return repr(value)


def arguments(values: Mapping[str, Any]) -> str:
    """Write keyword arguments as source code.

    >>> arguments(dict(depth=18, attention=dict(type='SELayer')))
    "depth=18, attention=dict(type='SELayer')"
    """
    return ', '.join(f'{key}={source_code(value)}' for key, value in values.items())
