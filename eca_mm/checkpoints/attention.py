"""The attention layers of a network: ECA and SE, with their variants, told from their tensors, others from a config."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from eca_mm.errors import UserError

Attention = dict[str, Any] | None  # config of a layer


def stage_attention(stage: str, blocks: Sequence[Mapping[str, Tensor]], by_channels: bool = False) -> Attention:
    """Config of the attention layer in a stage, None if there is none; UserError if its blocks differ in it.

    Each block's weights are by their names in it, such as ``eca.conv.weight``. If they may have different numbers of
    channels, ``by_channels``, and kernel sizes differ, it is taken for the layer that chooses them.
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


_TOLD = ('ECALayer', 'ECANSLayer', 'SELayer', 'SEGCLayer')  # by their tensors


def stated_attention(config: Mapping[str, Any], stages: int) -> list[Attention]:
    """The layer in each stage that no tensor tells, by the backbone's config: in the slot of our backbones, or as a plugin
    of mmdet's. None for a stage without one, also where tensors tell.

    Raises:
        UserError: If a plugin is elsewhere than our slot, which its keys do not tell, or the number of stages is another.
    """
    found = [_untold(layer) for layer in per_stage('attention', config.get('attention'), stages)]
    plugins = config.get('plugins')
    for plugin in filter(lambda plugin: isinstance(plugin, dict), plugins if isinstance(plugins, tuple) else ()):
        if (place := plugin.get('position', 'after_conv3')) != 'after_conv3':
            raise UserError(
                f'its config has a plugin with position={place!r}, and attention here is after the last norm'
            )
        if layer := _untold(plugin.get('cfg')):
            used = per_stage('stages', plugin.get('stages') or True, stages)
            found = [layer if use else before for before, use in zip(found, used, strict=True)]
    return found


def _untold(layer: Any) -> Attention:
    name = re.fullmatch(r'(?:eca_mm\.)?(\w+Layer)', str(layer.get('type'))) if isinstance(layer, dict) else None
    return {**layer, 'type': f'eca_mm.{name[1]}'} if name and name[1] not in _TOLD else None


def per_stage(name: str, value: Any, num_stages: int) -> list[Any]:
    """One entry per stage: a list or tuple, or UserError if it has another length; anything else repeated."""
    if not isinstance(value, (list, tuple)):
        return [value] * num_stages
    if len(value) != num_stages:
        raise UserError(f'{name} needs one entry per stage, {num_stages}, got {len(value)}: {value!r}')
    return list(value)


def source_code(value: Any) -> str:
    """The value as a config states it, with ``dict(...)``."""
    if isinstance(value, dict):
        return f'dict({arguments(value)})'
    if isinstance(value, tuple):
        return f'({", ".join(map(source_code, value))}{"," * (len(value) == 1)})'
    return repr(value)


def arguments(values: Mapping[str, Any]) -> str:
    """
    >>> arguments(dict(depth=18, attention=dict(type='SELayer')))
    "depth=18, attention=dict(type='SELayer')"
    """
    return ', '.join(f'{key}={source_code(value)}' for key, value in values.items())
