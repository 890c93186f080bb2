"""ResNets of He et al. (2016b), "Identity Mappings in Deep Residual Networks", with an attention slot in every block."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.checkpoints.families.resnet import PREACT_RESNETS
from eca_mm.models.backbones.common import Attention
from eca_mm.models.backbones.resnet import AttentionBottleneck, AttentionResNet


class PreActBottleneck(AttentionBottleneck):
    """A block ``drop_path(attention(branch(x))) + shortcut(x)`` with norm and ReLU before each convolution of the branch.

    The shortcut has no norm; where it has a convolution, that takes what the first norm and ReLU gave.
    """

    preact = True  # whether they are here; the first block of a network follows those of the stem
    downsample: Any

    def __init__(self, in_channels: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(in_channels, *args, **kwargs)
        for name, channels in ((self.norm1_name, in_channels), (self.norm3_name, self.mid_channels)):
            self.add_module(name, build_norm_layer(self.norm_cfg, channels)[1])
        if self.downsample is not None:
            self.downsample = self.downsample[:-1]
        # In the order of the forward pass, by which mmcv folds a norm into the convolution before it.
        for name in (self.norm1_name, 'conv1', self.norm2_name, 'conv2', self.norm3_name, 'conv3'):
            self._modules[name] = self._modules.pop(name)

    def residual(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(x)) if self.preact else x
        out = self.conv2(self.relu(self.norm2(self.conv1(y))))
        return self.tail(self.conv3(self.relu(self.norm3(out))), x if self.downsample is None else self.downsample(y))

    def tail(self, out: Tensor, identity: Tensor) -> Tensor:
        return self.drop_path(self.slot(out)) + identity


@MODELS.register_module(force=True)  # over the function of eca_mm.models
class AttentionPreActResNet(AttentionResNet):
    """The ResNet of He et al. (2016b) with one attention layer in every block, after its last convolution and before the sum.

    Takes images and returns features as :class:`AttentionResNet`; those of the fourth stage go through a norm and a ReLU.

    Args:
        depth: 50, 101, 152 or 200.
        attention: As for :class:`AttentionResNet`.
        kwargs: As for :class:`AttentionResNet`. The last norm of a branch cannot start at zero here.

    Raises:
        UserError: As :class:`AttentionResNet`.
    """

    arch_settings: Any = {depth: (PreActBottleneck, blocks) for depth, blocks in PREACT_RESNETS.items()}

    def __init__(self, depth: int, attention: Attention | Sequence[Attention] = None, **kwargs: Any) -> None:
        super().__init__(depth, attention, **{**kwargs, 'zero_init_residual': False})
        first = self.layer1[0]
        first.preact = False
        delattr(first, first.norm1_name)
        if self.num_stages == 4:
            self.layer4.add_module('norm', build_norm_layer(self.norm_cfg, self.layer4[-1].out_channels)[1])
            self.layer4.add_module('relu', nn.ReLU(inplace=True))
        self.train()  # frozen_stages counts for what came after the constructor of mmpretrain's too
