"""The attention layers of a network: those with weights told from their tensors, SE-Var1, which has none, from a config."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from eca_mm.checkpoints import kernel_sizes
from eca_mm.convert.source_code import source_code
from eca_mm.errors import UserError
from eca_mm.models.backbones.common import Attention, per_stage


def stage_attention(stage: str, blocks: Sequence[Mapping[str, Tensor]]) -> Attention:
    """Config of the attention layer in a stage, None if there is none.

    Args:
        stage: Its name, for the message.
        blocks: The weights of each of its blocks, by their names in it, such as ``eca.conv.weight``.

    Raises:
        UserError: If the blocks differ in their attention, or the width of an SE layer does not divide its channels.
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
    sizes = kernel_sizes({f'layer1.0.{key}': value for key, value in block.items()})
    if sizes:
        shared = len(block['eca.conv.weight']) == 1  # by all channels
        return dict(type='eca_mm.ECALayer' if shared else 'eca_mm.ECANSLayer', kernel_size=sizes[0])
    if 'se.fc1.weight' in block:
        hidden, channels = _rows_and_columns(block['se.fc1.weight'])
        bias = dict(bias=True) if 'se.fc1.bias' in block else {}
        return dict(type='eca_mm.SELayer', ratio=_quotient(channels, hidden), **bias)
    if 'se.conv.weight' in block:
        channels, width = _rows_and_columns(block['se.conv.weight'])
        return dict(type='eca_mm.SEGCLayer', groups=_quotient(channels, width))
    return None


def _rows_and_columns(weight: Tensor) -> tuple[int, int]:
    rows, columns, *_ = (*weight.shape, 0, 0)
    return rows, columns


def _quotient(channels: int, part: int) -> int:
    if not part or channels % part:
        raise UserError(f'an SE layer has {part} hidden channels, which do not divide its {channels}')
    return channels // part


def has_se_var1(config: Mapping[str, Any], stages: int) -> list[bool]:
    """Whether SE-Var1, which has no weights, is in each stage: in the slot of our backbones, or as a plugin of mmdet's.

    Args:
        config: The backbone's arguments, from :func:`~eca_mm.checkpoints.config_text.backbone_config`.
        stages: Number of stages.

    Raises:
        UserError: If a plugin is elsewhere than our slot, which its keys do not tell, or the number of stages is another.
    """
    found = [_is_se_var1(layer) for layer in per_stage('attention', config.get('attention'), stages)]
    plugins = config.get('plugins')
    for plugin in plugins if isinstance(plugins, tuple) else ():
        if not isinstance(plugin, dict):
            continue
        if (place := plugin.get('position', 'after_conv3')) != 'after_conv3':
            raise UserError(
                f'its config has a plugin with position={place!r}, and attention here is after the last norm'
            )
        if _is_se_var1(plugin.get('cfg')):
            used = per_stage('stages', plugin.get('stages') or True, stages)
            found = [before or bool(use) for before, use in zip(found, used, strict=True)]
    return found


def _is_se_var1(layer: Any) -> bool:
    return isinstance(layer, dict) and str(layer.get('type')).endswith('SEVar1Layer')
