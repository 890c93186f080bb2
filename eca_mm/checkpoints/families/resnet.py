"""ResNet."""

import re
from collections.abc import Mapping
from itertools import product
from typing import Any

from eca_mm.checkpoints.families.base import ConfigOnly, Family, Tensors, size_of
from eca_mm.checkpoints.keys import RESNETS
from eca_mm.errors import UserError

_STAGES = list(product((1, 2, 4, 8, 16), repeat=4))


class ResNet(Family):
    name = 'ResNet'
    features = 'feat_dim'

    def config_only(self, told: Mapping[str, Any], config: Mapping[str, Any]) -> ConfigOnly:
        ones = (1, 1, 1, 1)
        table: dict[str, tuple[Any, Any]] = dict(strides=((1, 2, 2, 2), _STAGES), dilations=(ones, _STAGES))
        table['multi_grid'] = None, ()  # mmseg's ways to dilate the blocks of one stage differently
        if config.get('dilations', ones) != ones:
            table['contract_dilation'] = False, ()
        if told['depth'] < 50:
            return table
        return dict(style=('pytorch', ['caffe'])) | table  # where a bottleneck has its stride

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        convs = 3 if any(re.fullmatch(r'layer\d\.\d+\.conv3\.weight', key) for key in backbone) else 2
        depth = next((depth for depth, blocks in RESNETS.items() if blocks == (convs, counts)), None)
        if depth is None:
            raise UserError(
                f'stages of {counts} blocks with {convs} convolutions each are no ResNet-{", ".join(map(str, RESNETS))}'
            )
        found: dict[str, Any] = dict(depth=depth)
        deep = any(key.startswith('stem.') for key in backbone)
        if deep:
            found['deep_stem'] = True
        first, last = ('stem.0.conv.weight', 'stem.2.conv.weight') if deep else ('conv1.weight', 'conv1.weight')
        for name, key, dim, default in (('stem_channels', last, 0, 64), ('in_channels', first, 1, 3)):
            if (size := size_of(backbone, key, dim, default)) != default:
                found[name] = size
        _check_channels(backbone, found.get('stem_channels', 64) // 2)
        if 'layer2.0.downsample.2.weight' in backbone:
            found['avg_down'] = True
        return found


def _check_channels(backbone: Tensors, half: int) -> None:
    """UserError for variants of ResNet that have its blocks and other channels, in words instead of as many tensors."""
    stem = [size_of(backbone, f'stem.{i}.conv.weight', 0, half) for i in range(2)]
    if stem != [half, half]:
        raise UserError(
            f'a stem of {stem[0]}, {stem[1]} and {2 * half} channels, where ResNet-D has {half}, {half} and {2 * half}'
        )
    for stage, usual in enumerate((64, 128, 256, 512), 1):
        channels = size_of(backbone, f'layer{stage}.0.conv1.weight', 0, usual)
        if size_of(backbone, f'layer{stage}.0.conv2.weight', 1, channels) != channels:
            raise UserError('grouped convolutions, as ResNeXt has, and no ResNet here')
        if channels != usual:
            raise UserError(
                f'blocks of {channels} channels in stage {stage}, where a ResNet has {usual}: it is pruned, or wide'
            )
