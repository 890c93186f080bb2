"""What the backbones share: blocks with an attention slot, one entry per stage, and strictly loaded pretrained weights."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from mmcv.cnn.bricks import build_plugin_layer
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eca_mm.checkpoints import load_backbone
from eca_mm.checkpoints.attention import Attention, per_stage
from eca_mm.errors import UserError
from eca_mm.models.ops import conditions as when
from eca_mm.models.ops.coefficients import Coefficients, Folded
from eca_mm.models.ops.conv_tail import conv_tail
from eca_mm.models.ops.norm_tail import norm_tail


class AttentionBlock(nn.Module, ABC):
    """Put before a residual block of mmpretrain: the branch ends in a slot for an attention layer (the paper's Figure 2).

    Takes features (N, C, H, W) and returns (N, C', H', W'); C' is ``out_channels``.

    Attributes:
        fused: Whether a fast path may compute the end of the block where it gives the same (docs/speed.md): True on CPUs,
            'triton' on GPUs too.
        folded: Whether gates are computed early where a norm is part of its convolution, as ``fuse_for_inference`` makes it.
        attention_name: Where the layer is registered in the block, e.g. ``'eca'`` or ``'conv.eca'``; without one there is an
            ``nn.Identity`` at ``'attention'`` or ``'conv.attention'``.
    """

    fused: bool | str = True
    folded = False
    attention_name: str

    if TYPE_CHECKING:  # mmpretrain's classes have no types

        def __getattr__(self, name: str) -> Any: ...

    @property
    def slot(self) -> nn.Module:
        """The attention layer; an ``nn.Identity`` without one."""
        return self.get_submodule(self.attention_name)

    def fill_slot(self, cfg: Attention, parent: str = '') -> None:
        """Builds the layer for ``out_channels`` and registers it in the submodule ``parent``, or in the block itself."""
        name, layer = build_attention(cfg, self.out_channels) if cfg is not None else ('attention', nn.Identity())
        self.get_submodule(parent).add_module(name, layer)
        self.attention_name = f'{parent}.{name}' if parent else name

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """The whole block: the branch up to its last norm, then :meth:`tail`; or its end by :meth:`fused_end`."""

    def fused_end(
        self, z: Tensor, conv: Any, norm: Any, identity: Tensor | None, relu: bool, passed: Sequence[nn.Module]
    ) -> Tensor | None:
        """The block's end, from the input ``z`` of its last convolution on, by a fast path; None where none applies.

        Args:
            identity: Output of the shortcut, or None without a sum.
            relu: Whether a ReLU ends the block.
            passed: Modules around or after these layers that the fast path passes over.
        """
        attention: Any = self.slot
        if self.folded and type(norm) is nn.Identity and when.gates(attention):
            return None if when.hooked((conv, attention, *passed)) else self._folded_end(z, conv, identity, relu)
        if not self.fused or not when.usable(z, conv, norm, attention, passed, self.fused == 'triton'):
            return None
        coefficients = Coefficients(norm, attention)
        if relu and identity is not None and conv.bias is None and not norm.training and when.commutes(z, conv):
            return conv_tail(z, conv.weight, identity, coefficients)
        return norm_tail(conv(z), identity, coefficients, relu)

    def _folded_end(self, z: Tensor, conv: Any, identity: Tensor | None, relu: bool) -> Tensor:
        """The block's end where the norm is part of the convolution: the gate before it, in torch's public operators."""
        attention: Any = self.slot
        if relu and identity is not None and self.fused and when.fits(z, conv, attention) and when.commutes(z, conv):
            return conv_tail(z, conv.weight, identity, Folded(conv.bias, attention))
        out = conv(z)
        # GAP commutes with the convolution, and reads less before it.
        early = when.pointwise(conv) and conv.in_channels <= conv.out_channels
        pooled = conv(z.mean((2, 3), keepdim=True)) if early else out.mean((2, 3), keepdim=True)
        gate = attention.weights(pooled.flatten(1))[:, :, None, None]
        out = out * gate if identity is None else torch.addcmul(identity, out, gate)
        return out.relu() if relu else out

    @abstractmethod
    def tail(self, out: Tensor, identity: Tensor) -> Tensor:
        """The end of a block with a sum: attention, what the family has between it and the sum, the sum, the activation.

        Takes the outputs of the branch's last norm and of the shortcut, (N, C', H', W'). This is what :meth:`fused_end` equals.
        """

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and x.requires_grad:
            return checkpoint(self.residual, x, use_reentrant=False)
        return self.residual(x)


class StrictBackbone(nn.Module):
    """Put before a backbone of mmpretrain: strictly loaded pretrained weights, and ``train`` and ``eval`` that return it."""

    if TYPE_CHECKING:  # mmpretrain's classes have no types

        def __getattr__(self, name: str) -> Any: ...

    def train(self, mode: bool = True) -> 'StrictBackbone':
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


class AttentionBackbone(StrictBackbone):
    """Put before a backbone of mmpretrain: attention stage by stage in its blocks.

    ``attention`` is one config or None for all stages, or one per stage; each stage takes the next of ``stage_attention``.
    ``fused=False`` computes the ends of blocks layer by layer, as written, also where a fast path gives the same;
    ``'triton'`` allows it on GPUs, where it has not been measured yet.
    """

    def __init__(
        self, attention: Attention | Sequence[Attention], stages: int, fused: bool | str = True, **kwargs: Any
    ) -> None:
        self.stage_attention = iter(per_stage('attention', attention, stages))  # mmpretrain builds the stages in order
        if fused not in (True, False, 'triton'):
            raise UserError(f"fused must be True, False or 'triton', got {fused!r}")
        super().__init__(**kwargs)
        for block in self.modules():
            if isinstance(block, AttentionBlock):
                block.fused = fused


def build_attention(cfg: dict[str, Any], in_channels: int) -> tuple[str, nn.Module]:
    """The layer of an attention slot and its name there, which is the layer's ``_abbr_``, as mmcv builds plugins.

    Raises:
        UserError: If ``cfg`` is not a config, or its type is not registered, with the nearest name that is; or if a library is
            named that has no such layer, and this package has.
    """
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise UserError(f"attention must be a config such as dict(type='ECALayer'), got {cfg!r}")
    name = cfg['type']
    with MODELS.switch_scope_and_registry(None) as registry:  # where mmcv looks
        scope, dot, bare = name.rpartition('.') if isinstance(name, str) else ('', '', '')
        found, ours = registry.get(name) if bare else name, MODELS.module_dict.get(bare)
        # What a library lacks is looked for among all names without one, which ours are too.
        if (
            scope not in ('', 'eca_mm')
            and found in (None, ours)
            and getattr(ours, '__module__', '').startswith('eca_mm.')
        ):
            raise UserError(f'attention: {scope} has no layer {bare!r}; this package has eca_mm.{bare}')
        if found is None:
            near = difflib.get_close_matches(bare, {*registry.module_dict, *MODELS.module_dict}, n=1)
            hint = f'did you mean {scope + dot + near[0]!r}?' if near else 'is the module that registers it imported?'
            raise UserError(f'attention: no layer {name!r} is registered; {hint}')
    return build_plugin_layer(cfg, in_channels=in_channels)
