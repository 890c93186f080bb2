"""ResNet of He et al. (2016b), "Identity Mappings in Deep Residual Networks", with an attention slot in every block."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.checkpoints.attention import Attention
from eca_mm.checkpoints.families.resnet import PREACT_RESNETS
from eca_mm.models.backbones.layers import build_norm
from eca_mm.models.backbones.resnet import AttentionResNet, Bottleneck, Config


class PreActBottleneck(Bottleneck):
    """Block ``drop_path(attention(branch(x))) + shortcut(x)`` with norm and ReLU before each convolution of the branch.

    The shortcut has no norm. If it has a convolution, this takes the output of the first norm and ReLU.
    """

    preact = True  # whether they are here; the first block of a network follows those of the stem

    def build_branch(self, dcn: Config | None) -> None:
        """Build the layers in the order of the forward pass, by which a norm is folded into the convolution before it."""
        super().build_branch(dcn)
        self.add_norm(1, self.in_channels)
        self.add_norm(3, self.mid_channels)
        for name in (self.norm1_name, 'conv1', self.norm2_name, 'conv2', self.norm3_name, 'conv3'):
            self._modules[name] = self._modules.pop(name)

    def residual(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(x)) if self.preact else x
        z = self.conv2(self.relu(self.norm2(self.conv1(y))))
        identity = x if self.downsample is None else self.downsample(y)
        return self.end(self.relu(self.norm3(z)), self.conv3, None, identity, drop_path=self.drop_path)


@MODELS.register_module()
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

    blocks = {3: PreActBottleneck}
    depths = {depth: (3, counts) for depth, counts in PREACT_RESNETS.items()}

    def __init__(self, depth: int, attention: Attention | Sequence[Attention] = None, **kwargs: Any) -> None:
        super().__init__(depth, attention, **{**kwargs, 'zero_init_residual': False})
        first = self.layer1[0]
        first.preact = False
        delattr(first, first.norm1_name)
        if self.num_stages == 4:
            self.layer4.add_module('norm', build_norm(self.norm_cfg, self.feat_dim)[1])
            self.layer4.add_module('relu', nn.ReLU(inplace=True))
        self.train()  # freezes the norm as well

    def build_shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        shortcut: Any = super().build_shortcut(in_channels, out_channels, stride)
        return None if shortcut is None else shortcut[:-1]  # without the norm
