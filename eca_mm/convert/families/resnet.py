"""ResNet here, in torchvision and in timm."""

import re
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from eca_mm.checkpoints.keys import POOLED_SHORTCUT, TIMM_ECA, TIMM_STEM
from eca_mm.convert.attention import arguments
from eca_mm.convert.families.base import Architecture, ConfigOnly, Family, Target, Tensors, size_of
from eca_mm.errors import UserError
from eca_mm.models.attention import eca_kernel_size
from eca_mm.models.backbones import AttentionResNet

_TIMM_ARGUMENTS = (('avg_down', 'avg_down'), ('in_channels', 'in_chans'))  # (ours, theirs)
# timm chooses k and the width of SE by itself; a function of the channels, which differ from stage to stage, overrules it.
_TIMM_ECA = 'lambda c, **k: timm.layers.EcaModule(kernel_size={}[c], **k)'
_TIMM_SE = 'lambda c, **k: timm.layers.SEModule(c, rd_channels={}[c], bias={}, **k)'
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
        known = AttentionResNet.arch_settings.items()
        depth = next((depth for depth, (block, n) in known if (block.num_convs, n) == (convs, counts)), None)
        if depth is None:
            raise UserError(
                f'stages of {counts} blocks with {convs} convolutions each are no '
                f'ResNet-{", ".join(map(str, AttentionResNet.arch_settings))}'
            )
        found: dict[str, Any] = dict(depth=depth)
        deep = any(key.startswith('stem.') for key in backbone)
        if deep:
            found['deep_stem'] = True
        first, last = ('stem.0.conv.weight', 'stem.2.conv.weight') if deep else ('conv1.weight', 'conv1.weight')
        for name, key, dim, default in (('stem_channels', last, 0, 64), ('in_channels', first, 1, 3)):
            if (size := size_of(backbone, key, dim, default)) != default:
                found[name] = size
        if 'layer2.0.downsample.2.weight' in backbone:
            found['avg_down'] = True
        return found

    @property
    def targets(self) -> dict[str, Callable[[Architecture], Target]]:
        return super().targets | dict(timm=_timm, torchvision=_torchvision)


def _torchvision(network: Architecture) -> Target:
    others = dict(network.arguments)
    depth = others.pop('depth')
    classes = network.plain_classifier('torchvision', others)
    return Target(f'torchvision.models.resnet{depth}(num_classes={classes})', 'fc.')


def _timm(network: Architecture) -> Target:
    others = dict(network.arguments)
    name, deep = f'resnet{others.pop("depth")}', others.pop('deep_stem', False)
    theirs = dict(stem_type='deep', stem_width=others.pop('stem_channels', 64) // 2) if deep else {}
    theirs |= {new: others.pop(old) for old, new in _TIMM_ARGUMENTS if old in others}
    network.refuse('timm', others)
    pairs = (TIMM_STEM if deep else ()) + (POOLED_SHORTCUT if 'avg_down' in theirs else ()) + TIMM_ECA
    line = arguments(theirs | dict(num_classes=network.classes or 0))
    layer = _timm_attention(network)
    attention = f', block_args=dict(attn_layer={layer})' if layer else ''
    return Target(f"timm.create_model('{name}', {line}{attention})", 'fc.', pairs=pairs, convolutions='.se.fc')


def _timm_attention(network: Architecture) -> str | None:
    """What timm calls the attention, as source code.

    Raises:
        UserError: For other attention than ECA and SE, or attention that is not in every stage.
    """
    if not network.layers:
        return None
    channels = [64 * 2**stage * (4 if network.arguments['depth'] >= 50 else 1) for stage in range(4)]
    if network.kernel_sizes:
        sizes = dict(zip(channels, network.kernel_sizes, strict=True))
        return "'eca'" if all(k == eca_kernel_size(c) for c, k in sizes.items()) else _TIMM_ECA.format(sizes)
    layers = [layer for layer in network.attention if layer]
    biases = {layer.get('bias', False) for layer in layers}
    if network.layers != ['SELayer'] or len(layers) < 4 or len(biases) > 1:
        kinds = sorted({layer['type'] if layer else 'none' for layer in network.attention})
        raise UserError(f'timm has ECA or SE in all stages of a ResNet, and this one has {", ".join(kinds)}')
    widths = {c: c // layer['ratio'] for c, layer in zip(channels, layers, strict=True)}
    usual = biases == {True} and all(width == max(8, c // 16) for c, width in widths.items())
    return "'se'" if usual else _TIMM_SE.format(widths, *biases)
