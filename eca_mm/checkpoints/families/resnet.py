"""ResNet, and its relatives with the same blocks: ResNeXt, and ResNet with norms before its convolutions."""

import re
from collections.abc import Mapping
from itertools import product
from typing import Any

from eca_mm.checkpoints.families.base import ConfigOnly, Family, Tensors, size_of
from eca_mm.checkpoints.tables import PREACT_RESNETS, RESNETS
from eca_mm.errors import UserError

_STAGES = list(product((1, 2, 4, 8, 16), repeat=4))


class ResNet(Family):
    """ResNet, and what its relatives have in common with it.

    Attributes:
        depths: Depth -> convolutions of a block, blocks of each stage.
        avg_down: The key that tells of a pool in front of the shortcuts' convolutions.
    """

    name = 'ResNet'
    features = 'feat_dim'
    depths = RESNETS
    avg_down = 'layer2.0.downsample.2.weight'

    def config_only(self, told: Mapping[str, Any], config: Mapping[str, Any]) -> ConfigOnly:
        ones = (1, 1, 1, 1)
        table: dict[str, tuple[Any, Any]] = dict(strides=((1, 2, 2, 2), _STAGES), dilations=(ones, _STAGES))
        table['multi_grid'] = None, ()  # mmseg's ways to dilate the blocks of one stage differently
        if config.get('dilations', ones) != ones:
            table['contract_dilation'] = False, ()
        if told['depth'] < 50:
            return table
        return dict(style=('pytorch', ['caffe'])) | table  # where a bottleneck has its stride

    def notes(self, source: str, named: bool) -> list[str]:
        """That no key tells of anti-aliasing, where only keys tell whose weights they are."""
        aliased = 'if it is of timm: the anti-aliased networks there (resnetaa50, resnetblur50) have these keys and shapes too'
        return [aliased] if source in ('timm', 'torchvision') and not named else []

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        convs = 3 if any(re.fullmatch(r'layer\d\.\d+\.conv3\.weight', key) for key in backbone) else 2
        depth = next((depth for depth, blocks in self.depths.items() if blocks == (convs, counts)), None)
        if depth is None:
            raise UserError(
                f'stages of {counts} blocks with {convs} convolutions each are no {self.name}-'
                f'{", ".join(map(str, self.depths))}'
            )
        found: dict[str, Any] = dict(depth=depth)
        deep = any(key.startswith('stem.') for key in backbone)
        if deep:
            found['deep_stem'] = True
        first, last = ('stem.0.conv.weight', 'stem.2.conv.weight') if deep else ('conv1.weight', 'conv1.weight')
        for name, key, dim, default in (('stem_channels', last, 0, 64), ('in_channels', first, 1, 3)):
            if (size := size_of(backbone, key, dim, default)) != default:
                found[name] = size
        _check_stem(backbone, found.get('stem_channels', 64) // 2)
        if self.avg_down in backbone:
            found['avg_down'] = True
        return found | self.widths(backbone)

    def widths(self, backbone: Tensors) -> dict[str, Any]:
        """The arguments that the channels of blocks tell.

        Raises:
            UserError: For variants that have the blocks of this family and other channels, in words instead of many tensors.
        """
        for stage, usual in enumerate((64, 128, 256, 512), 1):
            if (channels := size_of(backbone, f'layer{stage}.0.conv1.weight', 0, usual)) != usual:
                raise UserError(
                    f'blocks of {channels} channels in stage {stage}, where a ResNet has {usual}: it is pruned, or wide'
                )
        return {}


class ResNeXt(ResNet):
    """A ResNet whose 3x3 convolutions have groups: by their shapes, as all keys are a ResNet's."""

    name = 'ResNeXt'
    depths = {depth: blocks for depth, blocks in RESNETS.items() if blocks[0] == 3}

    def recognises(self, weights: Tensors) -> bool:
        inputs = [size_of(weights, f'backbone.layer1.0.conv{i}.weight', dim, 0) for i, dim in ((1, 0), (2, 1))]
        return 0 < inputs[1] < inputs[0]

    def widths(self, backbone: Tensors) -> dict[str, Any]:
        width = size_of(backbone, 'layer1.0.conv2.weight', 1, 4)
        found = dict(groups=size_of(backbone, 'layer1.0.conv2.weight', 0, 128) // width, width_per_group=width)
        return {key: value for key, value in found.items() if value != dict(groups=32, width_per_group=4)[key]}


class PreActResNet(ResNet):
    """Of this package alone: no other library that is known here has weights of the same network."""

    name = 'PreActResNet'
    depths = {depth: (3, blocks) for depth, blocks in PREACT_RESNETS.items()}
    avg_down = 'layer2.0.downsample.1.weight'

    def recognises(self, weights: Tensors) -> bool:
        return 'backbone.layer4.norm.weight' in weights


def _check_stem(backbone: Tensors, half: int) -> None:
    """UserError for a deep stem with other channels than ResNet-D's."""
    stem = [size_of(backbone, f'stem.{i}.conv.weight', 0, half) for i in range(2)]
    if stem != [half, half]:
        raise UserError(
            f'a stem of {stem[0]}, {stem[1]} and {2 * half} channels, where ResNet-D has {half}, {half} and {2 * half}'
        )
