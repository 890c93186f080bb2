"""What no tensor tells of a backbone, and its config does: style, strides, dilations, and where SE-Var1 is."""

from collections.abc import Mapping
from typing import Any

from eca_mm.errors import UserError
from eca_mm.models.backbones.common import per_stage

# What the backbones of mmdet, mmpretrain and mmseg do unless told otherwise.
_RESNET = dict(style='pytorch', strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1))
_MOBILENET = dict(strides=(1, 2, 2, 2, 1, 2, 1), dilations=(1,) * 7)


def untold_options(config: Mapping[str, Any], mobile: bool) -> dict[str, Any]:
    """Our ResNet's arguments that no tensor tells, those that are not the usual ones.

    Args:
        config: From :func:`~eca_mm.checkpoints.config_text.backbone_config`.
        mobile: Whether the network is a MobileNetV2, which has none of them here.

    Raises:
        ValueError: If no backbone here computes the same.
    """
    usual = _MOBILENET if mobile else _RESNET
    unusual = {key: config[key] for key in usual if config.get(key, usual[key]) != usual[key]}
    wrong = [key for key, value in unusual.items() if mobile or not _fits(key, value)]
    if 'dilations' in unusual:  # mmseg's ways to dilate the blocks of one stage differently
        wrong += [key for key in ('contract_dilation', 'multi_grid') if config.get(key)]
    for key in wrong:
        raise UserError(
            f'its config has {key}={config[key]!r}, and no {"MobileNetV2" if mobile else "ResNet"} here has'
        )
    return unusual


def _fits(key: str, value: Any) -> bool:
    if key == 'style':
        return bool(value == 'caffe')
    return isinstance(value, tuple) and len(value) == 4 and all(n in (1, 2, 4, 8, 16) for n in value)


def has_se_var1(config: Mapping[str, Any], stages: int) -> list[bool]:
    """Whether SE-Var1, which has no weights, is in each stage: in the slot of our backbones, or as a plugin of mmdet's.

    Raises:
        ValueError: If a plugin is elsewhere than our slot, which its keys do not tell, or the number of stages is another.
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
