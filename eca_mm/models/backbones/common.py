"""What the backbones share: the slot's layer, one entry per stage, and pretrained weights loaded whole or refused."""

import difflib
from typing import Any

from mmcv.cnn.bricks import build_plugin_layer
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS
from torch import nn

from eca_mm.checkpoints import load_backbone
from eca_mm.errors import UserError

Attention = dict[str, Any] | None


class StrictBackbone(nn.Module):
    """Put before a backbone of mmpretrain: ``init_cfg=dict(type='Pretrained', ...)`` then goes through `load_backbone`."""

    init_cfg: Any

    def train(self, mode: bool = True) -> 'StrictBackbone':
        super().train(mode)
        return self  # as torch promises, and mmpretrain 1.2.0 does not

    def init_weights(self) -> None:
        """As in mmpretrain, but a pretrained backbone is loaded whole or refused.

        That leaves nothing for other entries of a list of configs to do.
        """
        configs = self.init_cfg if isinstance(self.init_cfg, (list, tuple)) else [self.init_cfg]
        pretrained = [cfg for cfg in configs if cfg and cfg['type'] in ('Pretrained', PretrainedInit)]
        for cfg in pretrained:
            load_backbone(self, cfg['checkpoint'])
        if not pretrained:
            super().init_weights()  # type: ignore[misc]


def build_attention(cfg: dict[str, Any], in_channels: int) -> tuple[str, nn.Module]:
    """The layer of an attention slot and its name there, which is the layer's ``_abbr_``, as mmcv builds plugins.

    Raises:
        ValueError: If ``cfg`` is not a config, or its type is not registered, with the nearest name that is.
    """
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise UserError(f"attention must be a config such as dict(type='ECALayer'), got {cfg!r}")
    if isinstance(cfg['type'], str):
        _check_registered(cfg['type'])
    return build_plugin_layer(cfg, in_channels=in_channels)


def _check_registered(name: str) -> None:
    with MODELS.switch_scope_and_registry(None) as registry:  # where mmcv looks
        if registry.get(name) is not None:
            return
        scope, dot, bare = name.rpartition('.')
        near = difflib.get_close_matches(bare, {*registry.module_dict, *MODELS.module_dict}, n=1)
    hint = f'did you mean {scope + dot + near[0]!r}?' if near else 'is the module that registers it imported?'
    raise UserError(f'attention: no layer {name!r} is registered; {hint}')


def per_stage(name: str, value: Any, num_stages: int) -> list[Any]:
    """One entry per stage: a list or tuple as it is, anything else repeated.

    Raises:
        ValueError: If a list or tuple has not ``num_stages`` entries.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * num_stages
    if len(value) != num_stages:
        raise UserError(f'{name} needs one entry per stage, {num_stages}, got {len(value)}: {value!r}')
    return list(value)
