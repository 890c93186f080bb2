"""What the backbones share: blocks with an attention slot, one entry per stage, and strictly loaded pretrained weights."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from mmcv.cnn.bricks import build_plugin_layer
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eca_mm.checkpoints import load_backbone
from eca_mm.errors import UserError

Attention = dict[str, Any] | None


class AttentionBlock(nn.Module, ABC):
    """Put before a residual block of mmpretrain: the branch ends in a slot for an attention layer (the paper's Figure 2).

    Takes features (N, C, H, W) and returns (N, C', H', W'); C' is ``out_channels``.

    Attributes:
        attention_name: Where the layer is registered in the block, e.g. ``'eca'`` or ``'conv.eca'``; None without one.
    """

    out_channels: int
    with_cp: bool
    attention_name: str | None = None

    @property
    def slot(self) -> nn.Module | None:
        """The attention layer, or None."""
        return None if self.attention_name is None else self.get_submodule(self.attention_name)

    def fill_slot(self, cfg: Attention, parent: str = '') -> None:
        """Builds the layer for ``out_channels`` and registers it in the submodule ``parent``, or in the block itself."""
        if cfg is not None:
            name, layer = build_attention(cfg, self.out_channels)
            self.get_submodule(parent).add_module(name, layer)
            self.attention_name = f'{parent}.{name}' if parent else name

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """The whole block: the branch up to its last norm, then :meth:`tail`."""

    @abstractmethod
    def tail(self, out: Tensor, identity: Tensor) -> Tensor:
        """The end of a block with a sum: attention, what the family has between it and the sum, the sum, the activation.

        Takes the outputs of the branch's last norm and of the shortcut, (N, C', H', W'). A fused version takes the place of
        this method. The layer's hooks must run then too: where it has some, call it.
        """

    def attend(self, out: Tensor) -> Tensor:
        """The output of the attention layer, or ``out`` without one."""
        return out if self.slot is None else self.slot(out)

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and x.requires_grad:
            return checkpoint(self.residual, x, use_reentrant=False)
        return self.residual(x)


class AttentionBackbone(nn.Module):
    """Put before a backbone of mmpretrain: attention stage by stage, and strictly loaded pretrained weights.

    ``attention`` is one config or None for all stages, or one per stage; each stage takes the next of ``stage_attention``.
    """

    init_cfg: Any

    def __init__(self, attention: Attention | Sequence[Attention], stages: int, **kwargs: Any) -> None:
        self.stage_attention = iter(per_stage('attention', attention, stages))  # mmpretrain builds the stages in order
        super().__init__(**kwargs)

    def train(self, mode: bool = True) -> 'AttentionBackbone':
        super().train(mode)
        return self  # as torch promises, and mmpretrain 1.2.0 does not

    def init_weights(self) -> None:
        """As in mmpretrain, but a pretrained backbone goes through :func:`load_backbone`, which loads all of it or refuses."""
        configs = self.init_cfg if isinstance(self.init_cfg, (list, tuple)) else [self.init_cfg]
        pretrained = [cfg for cfg in configs if cfg and cfg['type'] in ('Pretrained', PretrainedInit)]
        for cfg in pretrained:
            load_backbone(self, cfg['checkpoint'])  # which leaves nothing for other configs of a list to do
        if not pretrained:
            super().init_weights()  # type: ignore[misc]


def build_attention(cfg: dict[str, Any], in_channels: int) -> tuple[str, nn.Module]:
    """The layer of an attention slot and its name there, which is the layer's ``_abbr_``, as mmcv builds plugins.

    Raises:
        UserError: If ``cfg`` is not a config, or its type is not registered, with the nearest name that is.
    """
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise UserError(f"attention must be a config such as dict(type='ECALayer'), got {cfg!r}")
    name = cfg['type']
    with MODELS.switch_scope_and_registry(None) as registry:  # where mmcv looks
        if isinstance(name, str) and registry.get(name) is None:
            scope, dot, bare = name.rpartition('.')
            near = difflib.get_close_matches(bare, {*registry.module_dict, *MODELS.module_dict}, n=1)
            hint = f'did you mean {scope + dot + near[0]!r}?' if near else 'is the module that registers it imported?'
            raise UserError(f'attention: no layer {name!r} is registered; {hint}')
    return build_plugin_layer(cfg, in_channels=in_channels)


def per_stage(name: str, value: Any, num_stages: int) -> list[Any]:
    """One entry per stage: a list or tuple, or UserError if it has another length; anything else repeated."""
    if not isinstance(value, (list, tuple)):
        return [value] * num_stages
    if len(value) != num_stages:
        raise UserError(f'{name} needs one entry per stage, {num_stages}, got {len(value)}: {value!r}')
    return list(value)
