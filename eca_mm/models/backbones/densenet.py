"""DenseNets with an attention slot in every layer."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from mmpretrain.models.backbones.densenet import DenseNet

from eca_mm.checkpoints.attention import Attention, per_stage
from eca_mm.checkpoints.families.densenet import DENSENETS
from eca_mm.errors import UserError
from eca_mm.models.backbones.base import Backbone
from eca_mm.models.backbones.behind import put_behind


@MODELS.register_module(force=True)  # in place of its builder in eca_mm.models
class AttentionDenseNet(Backbone, DenseNet):
    """mmpretrain's DenseNet with one attention layer behind the new features of every dense layer, 32 or 48 channels.

    Takes images (N, 3, H, W) and returns a tuple of features, one per entry of ``out_indices``: those behind the transition
    of a block, which halves channels and size; by default the last, (N, 1024, H / 32, W / 32) for DenseNet-121. Keys are
    mmpretrain's, and ``stages.0.block.5.eca.conv.weight``.

    Args:
        arch: '121', '161', '169', '201' or '264', or a config of mmpretrain's: growth_rate, depths, init_channels.
        attention: Config of the layer, None, or one of these per block.
        kwargs: Arguments of ``mmpretrain.DenseNet``: out_indices, frozen_stages, memory_efficient, drop_rate, init_cfg, ...
            A pretrained one is loaded strictly, as by :class:`AttentionResNet`.

    Raises:
        UserError: For an unknown ``arch``, an attention that is not registered, or a sequence that has not one per block.
    """

    arch_settings = {
        name: dict(growth_rate=growth_rate, depths=depths, init_channels=init_channels)
        for name, (growth_rate, depths, init_channels) in DENSENETS.items()
    }

    def __init__(
        self,
        arch: str | dict[str, Any] = '121',
        attention: Attention | Sequence[Attention] = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(arch, dict) and arch not in self.arch_settings:
            raise UserError(f'arch must be one of {", ".join(self.arch_settings)} or a dict, got {arch!r}')
        super().__init__(arch, **kwargs)
        for stage, layer in zip(self.stages, per_stage('attention', attention, self.num_stages), strict=True):
            for dense in stage.block:
                put_behind(dense, layer, self.growth_rate)
        self.train()  # frozen_stages counts for what came after the constructor of mmpretrain's too
