"""ResNets with an attention slot in every block."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from mmpretrain.models.backbones.resnet import BasicBlock, Bottleneck, ResLayer, ResNet
from torch import Tensor, nn

from eca_mm.checkpoints.families.resnet import RESNETS
from eca_mm.errors import UserError
from eca_mm.models.backbones.common import Attention, AttentionBackbone, AttentionBlock, per_stage


class _AttentionBlock(AttentionBlock):
    """A block ``ReLU(drop_path(attention(branch(x))) + shortcut(x))``."""

    def __init__(self, *args: Any, attention: Attention = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fill_slot(attention)

    def residual(self, x: Tensor) -> Tensor:
        out = x
        *first, last = range(1, self.num_convs + 1)
        for i in first:
            out = self.relu(getattr(self, f'norm{i}')(getattr(self, f'conv{i}')(out)))
        conv, norm = getattr(self, f'conv{last}'), getattr(self, f'norm{last}')
        identity = x if self.downsample is None else self.downsample(x)
        if type(self.relu) is nn.ReLU and (type(self.drop_path) is nn.Identity or not self.training):
            fused = self.fused_end(out, conv, norm, identity, True, (self.relu, self.drop_path))
            if fused is not None:
                return fused
        return self.tail(norm(conv(out)), identity)

    def tail(self, out: Tensor, identity: Tensor) -> Tensor:
        out = self.drop_path(self.slot(out))
        if type(self.slot) is nn.Identity:
            out += identity  # in place, as mmpretrain: a layer in the slot may need its output for backward
            return self.relu(out)
        return self.relu(out + identity)


class AttentionBasicBlock(_AttentionBlock, BasicBlock):
    num_convs = 2


class AttentionBottleneck(_AttentionBlock, Bottleneck):
    num_convs = 3


@MODELS.register_module(force=True)  # over the function of eca_mm.models
class AttentionResNet(AttentionBackbone, ResNet):
    """mmpretrain's ResNet with one attention layer in every block, after its last norm and before the residual sum.

    Takes images (N, 3, H, W) and returns a tuple of features, one per stage in ``out_indices``: (N, 256 * 2^i, H /
    2^(i+2), W / 2^(i+2)) for stage i of depths 50, 101 and 152, a quarter of these channels for 18 and 34. It serves
    mmdet as well as mmpretrain: in a detector ``out_indices=(0, 1, 2, 3), frozen_stages=1, norm_eval=True`` is usual.

    Args:
        depth: 18, 34, 50, 101 or 152.
        attention: Config of the layer, e.g. ``dict(type='ECALayer')``, built with ``in_channels`` of the block's
            output; None for a plain ResNet; or a sequence of these, one per stage.
        kwargs: ``fused=False`` switches the fast paths of docs/speed.md off, 'triton' switches them on for GPUs too. The
            others are arguments of ``mmpretrain.ResNet``: out_indices, frozen_stages, norm_eval, norm_cfg, with_cp,
            drop_path_rate, deep_stem, avg_down, style, strides, dilations, zero_init_residual, init_cfg, ...
            ``init_cfg=dict(type='Pretrained', checkpoint=FILE)`` is strict here: see
            :func:`eca_mm.checkpoints.load_backbone`. ``with_cp`` saves memory by computing every block twice, and as
            in mmpretrain both passes move the running statistics of its batch norms that are being trained.

    Raises:
        UserError: For an unknown depth, an attention that is not registered, a sequence of attentions that has not one
            entry per stage, or a stage in ``out_indices`` or ``frozen_stages`` that does not exist.
    """

    arch_settings = {
        depth: (AttentionBottleneck if convs == 3 else AttentionBasicBlock, blocks)
        for depth, (convs, blocks) in RESNETS.items()
    }

    def __init__(self, depth: int, attention: Attention | Sequence[Attention] = None, **kwargs: Any) -> None:
        if depth not in self.arch_settings:
            raise UserError(f'depth must be one of {sorted(self.arch_settings)}, got {depth!r}')
        _check_stages(kwargs)
        super().__init__(attention, kwargs.get('num_stages', 4), depth=depth, **kwargs)

    def make_res_layer(self, **kwargs: Any) -> nn.Module:
        return ResLayer(attention=next(self.stage_attention), **kwargs)


@MODELS.register_module(force=True)  # over the function of eca_mm.models
class ECAResNet(AttentionResNet):
    """ECA-Net: a ResNet with :class:`~eca_mm.models.attention.ECALayer` in every block (the paper's Section 3.3).

    Args:
        depth: 18, 34, 50, 101 or 152.
        kernel_size: None for Eq. 9 on the block's output channels (5, 5, 5, 7 by stage of ECA-ResNet-50), an odd int
            for every block, or one entry per stage; the authors' weights have (3, 5, 5, 7) at depth 50.
        kwargs: As for :class:`AttentionResNet`, without ``attention``.

    Raises:
        UserError: As :class:`AttentionResNet`; for an even or non-positive kernel size, or a sequence of kernel sizes
            that has not one entry per stage.
    """

    def __init__(self, depth: int, kernel_size: int | None | Sequence[int | None] = None, **kwargs: Any) -> None:
        sizes = per_stage('kernel_size', kernel_size, kwargs.get('num_stages', 4))
        super().__init__(depth, [dict(type='eca_mm.ECALayer', kernel_size=k) for k in sizes], **kwargs)


def _check_stages(options: dict[str, Any]) -> None:
    """Refuses by a UserError what mmpretrain, with four strides and dilations by default, refuses by a bare assertion."""
    stages, out = options.get('num_stages', 4), options.get('out_indices', (3,))
    frozen = options.get('frozen_stages', -1)
    if stages not in range(1, 5):
        raise UserError(f'num_stages must be 1 to 4, got {stages!r}')
    for name in ('strides', 'dilations'):
        per_stage(name, options.get(name, (1,) * 4), stages)
    if not isinstance(out, (list, tuple)) or not out or any(i not in range(stages) for i in out):
        raise UserError(f'out_indices must be stages from 0 to {stages - 1}, got {out!r}')
    if frozen not in range(-1, stages + 1):
        raise UserError(f'frozen_stages must be -1 (none), 0 (the stem) or 1 to {stages}, got {frozen!r}')
