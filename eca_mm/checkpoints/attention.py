"""The attention layers of a network: those with weights told from their tensors, SE-Var1, which has none, from a config."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from eca_mm.checkpoints.keys import kernel_sizes
from eca_mm.errors import UserError

Attention = dict[str, Any] | None  # config of a layer


def stage_attention(stage: str, blocks: Sequence[Mapping[str, Tensor]]) -> Attention:
    """Config of the attention layer in a stage, None if there is none; UserError if its blocks differ in it.

    Each block's weights are by their names in it, such as ``eca.conv.weight``.
    """
    first, *others = map(_block_attention, blocks)
    for other in others:
        if other != first:
            raise UserError(
                f'the blocks of {stage} differ in their attention, {source_code(first)} and {source_code(other)}; here all '
                'blocks of a stage have the same'
            )
    return first


def _block_attention(block: Mapping[str, Tensor]) -> Attention:
    if sizes := kernel_sizes({f'layer1.0.{key}': value for key, value in block.items()}):
        shared = len(block['eca.conv.weight']) == 1  # by all channels
        return dict(type='eca_mm.ECALayer' if shared else 'eca_mm.ECANSLayer', kernel_size=sizes[0])
    ranks = {key: value.ndim for key, value in block.items()}
    if ranks.get('se.fc1.weight') == 2:
        hidden, channels = block['se.fc1.weight'].shape
        bias = dict(bias=True) if 'se.fc1.bias' in block else {}
        return dict(type='eca_mm.SELayer', ratio=channels // hidden, **bias)
    if ranks.get('se.conv.weight', 0) > 1:
        channels, width = block['se.conv.weight'].shape[:2]
        return dict(type='eca_mm.SEGCLayer', groups=channels // width)
    return None


def has_se_var1(config: Mapping[str, Any], stages: int) -> list[bool]:
    """Whether SE-Var1 is in each stage, by the backbone's config: in the slot of our backbones, or as a plugin of mmdet's.

    Raises:
        UserError: If a plugin is elsewhere than our slot, which its keys do not tell, or the number of stages is another.
    """

    def is_se_var1(layer: Any) -> bool:
        return isinstance(layer, dict) and str(layer.get('type')).endswith('SEVar1Layer')

    found = [is_se_var1(layer) for layer in per_stage('attention', config.get('attention'), stages)]
    plugins = config.get('plugins')
    for plugin in filter(lambda plugin: isinstance(plugin, dict), plugins if isinstance(plugins, tuple) else ()):
        if (place := plugin.get('position', 'after_conv3')) != 'after_conv3':
            raise UserError(
                f'its config has a plugin with position={place!r}, and attention here is after the last norm'
            )
        if is_se_var1(plugin.get('cfg')):
            used = per_stage('stages', plugin.get('stages') or True, stages)
            found = [before or bool(use) for before, use in zip(found, used, strict=True)]
    return found


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
