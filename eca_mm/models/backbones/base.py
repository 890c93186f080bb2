"""Base classes: a backbone with strictly loaded pretrained weights, and a residual block with an attention slot."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from mmengine.model import BaseModule, PretrainedInit
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eca_mm.checkpoints import load_backbone
from eca_mm.checkpoints.attention import Attention
from eca_mm.models.backbones.layers import build_attention
from eca_mm.models.ops import residual_end


class Backbone(BaseModule):
    """Backbone whose pretrained weights are loaded strictly: see :func:`eca_mm.checkpoints.load_backbone`.

    It comes before a backbone of mmpretrain among the bases of a class.
    """

    if TYPE_CHECKING:  # mmpretrain's classes have no types

        def __getattr__(self, name: str) -> Any: ...

    def train(self, mode: bool = True) -> 'Backbone':
        """Set the mode and return the backbone, as torch promises; mmpretrain 1.2.0 returns None."""
        super().train(mode)
        return self

    def init_weights(self) -> None:
        """Draw the weights, or load all of them where ``init_cfg`` names pretrained ones."""
        configs = self.init_cfg if isinstance(self.init_cfg, (list, tuple)) else [self.init_cfg]
        pretrained = [cfg for cfg in configs if cfg and cfg['type'] in ('Pretrained', PretrainedInit)]
        for cfg in pretrained:
            options = {'adapt_input': cfg['adapt_input']} if 'adapt_input' in cfg else {}
            load_backbone(self, cfg['checkpoint'], **options)  # other configs of a list have nothing left to do
        if not pretrained:
            self.draw_weights()

    def draw_weights(self) -> None:
        """Draw the weights as ``init_cfg`` says."""
        super().init_weights()


class AttentionBlock(nn.Module, ABC):
    """Residual block whose branch ends in a slot for an attention layer (the paper's Figure 2).

    Takes features (N, C, H, W) and returns (N, C', H', W'); C' is ``out_channels``.

    Attributes:
        attention_name: Name of the slot's layer in the block, e.g. ``'eca'`` or ``'conv.eca'``. An empty slot has an
            ``nn.Identity`` at ``'attention'`` or ``'conv.attention'``.
        fused: Whether a fast path may compute the end of the block: see :func:`~eca_mm.models.ops.residual_end`.
        with_cp: Whether to save memory in training by computing the block once more in the backward pass.
    """

    attention_name: str
    fused = True
    with_cp = False

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @property
    def slot(self) -> nn.Module:
        """The attention layer; an ``nn.Identity`` without one."""
        return self.get_submodule(self.attention_name)

    def fill_slot(self, cfg: Attention, parent: str = '') -> None:
        """Build the layer for ``out_channels`` and register it in the submodule ``parent``, or in the block itself."""
        name, layer = build_attention(cfg, self.out_channels) if cfg is not None else ('attention', nn.Identity())
        self.get_submodule(parent).add_module(name, layer)
        self.attention_name = f'{parent}.{name}' if parent else name

    def end(self, z: Tensor, conv: nn.Module, norm: nn.Module | None, identity: Tensor | None, **ends: Any) -> Tensor:
        """Compute the end of the block from the input of its last convolution: :func:`~eca_mm.models.ops.residual_end`."""
        return residual_end(z, conv, norm, self.slot, identity, fused=self.fused, **ends)

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """Compute the block."""

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and x.requires_grad:
            return checkpoint(self.residual, x, use_reentrant=False)
        return self.residual(x)
