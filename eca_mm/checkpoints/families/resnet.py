"""ResNet, and the relatives with the same keys: ResNeXt, and the pre-activation ResNet."""

import re
from collections.abc import Mapping
from itertools import product
from typing import Any

from mmengine.registry import MODELS

from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.attention import arguments
from eca_mm.checkpoints.family import ConfigOnly, Family, Tensors, size_of
from eca_mm.checkpoints.layout import Layout, Pairs, Target
from eca_mm.errors import UserError

RESNETS = {  # depth: convolutions of a block, blocks of each stage
    18: (2, (2, 2, 2, 2)),
    26: (3, (2, 2, 2, 2)),
    34: (2, (3, 4, 6, 3)),
    50: (3, (3, 4, 6, 3)),
    101: (3, (3, 4, 23, 3)),
    152: (3, (3, 8, 36, 3)),
    200: (3, (3, 24, 36, 3)),
    269: (3, (3, 30, 48, 8)),
}
PREACT_RESNETS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}

_TIMM_STEM: Pairs = (
    ('conv1.0.', 'stem.0.conv.'),
    ('conv1.1.', 'stem.0.bn.'),
    ('conv1.3.', 'stem.1.conv.'),
    ('conv1.4.', 'stem.1.bn.'),
    ('conv1.6.', 'stem.2.conv.'),
    ('bn1.', 'stem.2.bn.'),
)
_MMDET_STEM: Pairs = tuple(
    (f'stem.{3 * i + j}.', f'stem.{i}.{part}.') for i in range(3) for j, part in enumerate(('conv', 'bn'))
)
# In timm and mmdet the first stage's shortcut has a pool too, which does nothing.
_POOLED_SHORTCUT: Pairs = (
    ('layer1.0.downsample.1.', 'layer1.0.downsample.0.'),
    ('layer1.0.downsample.2.', 'layer1.0.downsample.1.'),
)
_MMPRETRAIN_SE: Pairs = (('.se_layer.conv1.conv.', '.se.fc1.'), ('.se_layer.conv2.conv.', '.se.fc2.'))
TIMM_ECA: Pairs = (('.se.conv.', '.eca.conv.'),)

_PATTERN = r'layer\d\.\d+\.conv\d\.weight'
_STAGE_VALUES = list(product((1, 2, 4, 8, 16), repeat=4))  # of strides and dilations


def _blocks(arguments: Mapping[str, Any]) -> tuple[int, tuple[int, ...]]:
    """Return the convolutions of a block, and the blocks of each stage."""
    if counts := arguments.get('stage_blocks'):
        return (arguments['depth'] - 2) // sum(counts), counts
    return RESNETS[arguments['depth']]


def _to_torchvision(network: Architecture) -> Target:
    others = dict(network.arguments)
    widths = _group_arguments(network, others, 'groups', 'width_per_group')
    if (depth := others['depth']) in (18, 34, 50, 101, 152):
        del others['depth']
    values = widths | dict(num_classes=network.plain_classes('torchvision', others))
    return Target(f'torchvision.models.resnet{depth}({arguments(values)})', 'fc.')


def _to_timm(network: Architecture) -> Target:
    others = dict(network.arguments)
    depth, counts = others.pop('depth'), others.pop('stage_blocks', None)
    theirs: dict[str, Any] = {}
    if counts or depth == 269:  # for which timm has no plain network by name
        convs, counts = _blocks(network.arguments)
        depth, theirs = 18 if convs == 2 else 50, dict(layers=counts)
    theirs |= _group_arguments(network, others, 'cardinality', 'base_width')
    deep = others.pop('deep_stem', False)
    if deep:
        stem = 'deep_tiered' if deep == 'tiered' else 'deep'
        theirs |= dict(stem_type=stem, stem_width=others.pop('stem_channels', 64) // 2)
    for ours, name in (('avg_down', 'avg_down'), ('in_channels', 'in_chans')):
        if ours in others:
            theirs[name] = others.pop(ours)
    network.check_arguments('timm', others)
    pairs = (_TIMM_STEM if deep else ()) + (_POOLED_SHORTCUT if 'avg_down' in theirs else ()) + TIMM_ECA
    line = arguments(theirs | dict(num_classes=network.classes or 0))
    layer = _timm_attention(network)
    attention = f', block_args=dict(attn_layer={layer})' if layer else ''
    return Target(f"timm.create_model('resnet{depth}', {line}{attention})", 'fc.', pairs=pairs, convolutions='.se.fc')


def _group_arguments(network: Architecture, others: dict[str, Any], groups: str, width: str) -> dict[str, Any]:
    """Return the arguments that make a ResNet a ResNeXt, by a library's names; remove them from ``others``."""
    if network.family != 'ResNeXt':
        return {}
    return {groups: others.pop('groups', 32), width: others.pop('width_per_group', 4)}


def _timm_attention(network: Architecture) -> str | None:
    """Return timm's ``attn_layer`` as source code.

    timm chooses k, and the width of SE, by itself. A function of the channels, which differ from stage to stage, overrides it.

    Raises:
        UserError: For other attention than ECA and SE, or attention that is not in every stage.
    """
    if not network.layers:
        return None
    channels = [64 * 2**stage * (4 if _blocks(network.arguments)[0] == 3 else 1) for stage in range(4)]
    if network.kernel_sizes:
        sizes = dict(zip(channels, network.kernel_sizes, strict=True))
        if all(k == _default_kernel_size(c) for c, k in sizes.items()):
            return "'eca'"
        return f'lambda c, **k: timm.layers.EcaModule(kernel_size={sizes}[c], **k)'
    layers = [layer for layer in network.attention if layer]
    biases = {layer.get('bias', False) for layer in layers}
    if network.layers != ['SELayer'] or len(layers) < 4 or len(biases) > 1:
        types = sorted({layer['type'] if layer else 'none' for layer in network.attention})
        raise UserError(f'timm has ECA or SE in all stages of a {network.family}, and this one has {", ".join(types)}')
    widths = {c: c // layer['ratio'] for c, layer in zip(channels, layers, strict=True)}
    if biases == {True} and all(width == max(8, c // 16) for c, width in widths.items()):
        return "'se'"
    return f'lambda c, **k: timm.layers.SEModule(c, rd_channels={widths}[c], bias={biases.pop()}, **k)'


def _default_kernel_size(channels: int) -> int:
    """Return the kernel size by Eq. 9, which timm's ECA has as well; the built layer knows it."""
    return MODELS.build(dict(type='eca_mm.ECALayer', in_channels=channels)).conv.kernel_size[0]


class ResNet(Family):
    """ResNet, and the base class of its relatives.

    Attributes:
        depths: Depth -> convolutions of a block, blocks of each stage. Other blocks have ``stage_blocks``.
        convolutions: Numbers of convolutions that its blocks may have.
        avg_down: Key that only networks with ``avg_down=True`` have.
    """

    name = 'ResNet'
    pattern = _PATTERN
    features = 'feat_dim'
    layouts = (
        Layout('authors', (_PATTERN, r'fc\..+', r'layer\d\.\d+\.eca\..+'), classifier='fc.'),
        Layout('timm', (_PATTERN, r'layer\d\.\d+\.se\.(conv|fc1)\.weight', r'fc\..+'), classifier='fc.'),
        Layout('timm', (_PATTERN, r'conv1\.6\.weight|layer1\.0\.downsample\.2\.weight'), classifier='fc.'),
        Layout('torchvision', (_PATTERN, r'fc\..+'), classifier='fc.'),
        Layout('timm', (_PATTERN,), classifier='fc.', recognised=False),
    )
    key_maps = (
        (r'conv1\.6\.weight', _TIMM_STEM),
        (r'stem\.6\.weight', _MMDET_STEM),
        (r'layer1\.0\.downsample\.2\.weight', _POOLED_SHORTCUT),
        (r'.+\.se_layer\..+', _MMPRETRAIN_SE),
    )
    targets = dict(timm=_to_timm, torchvision=_to_torchvision)
    classifier_config = 'eca_mm::imagenet/resnet50.py'
    detector_stages = (0, 1, 2, 3)
    depths = RESNETS
    convolutions: tuple[int, ...] = (2, 3)
    avg_down = 'layer2.0.downsample.2.weight'

    def config_only(self, arguments: Mapping[str, Any], config: Mapping[str, Any]) -> ConfigOnly:
        ones = (1, 1, 1, 1)
        table: dict[str, tuple[Any, Any]] = dict(strides=((1, 2, 2, 2), _STAGE_VALUES), dilations=(ones, _STAGE_VALUES))
        table['multi_grid'] = None, ()  # mmseg's ways to dilate the blocks of one stage differently
        if config.get('dilations', ones) != ones:
            table['contract_dilation'] = False, ()
        if _blocks(arguments)[0] == 2:
            return table
        return dict(style=('pytorch', ['caffe'])) | table  # the convolution of a bottleneck that has its stride

    def notes(self, source: str, named: bool) -> list[str]:
        """Mention anti-aliasing, which no key shows, where the keys alone show the source."""
        aliased = 'if it is of timm: the anti-aliased networks there (resnetaa50, resnetblur50) have these keys and shapes too'
        return [aliased] if source in ('timm', 'torchvision') and not named else []

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        convs = 3 if any(re.fullmatch(r'layer\d\.\d+\.conv3\.weight', key) for key in backbone) else 2
        if len(counts) != 4 or convs not in self.convolutions:
            blocks = ' or '.join(map(str, self.convolutions))
            raise UserError(
                f'stages of {counts} blocks with {convs} convolutions each are no {self.name}: it has 4 stages, and blocks of '
                f'{blocks} convolutions'
            )
        found: dict[str, Any] = dict(depth=2 + convs * sum(counts))
        if self.depths.get(found['depth']) != (convs, counts):
            found['stage_blocks'] = counts
        deep = any(key.startswith('stem.') for key in backbone)
        if deep:
            found['deep_stem'] = _stem_type(backbone)
        first, last = ('stem.0.conv.weight', 'stem.2.conv.weight') if deep else ('conv1.weight', 'conv1.weight')
        for name, key, dim, default in (('stem_channels', last, 0, 64), ('in_channels', first, 1, 3)):
            if (size := size_of(backbone, key, dim, default)) != default:
                found[name] = size
        if self.avg_down in backbone:
            found['avg_down'] = True
        return found | self.widths(backbone)

    def widths(self, backbone: Tensors) -> dict[str, Any]:
        """Infer the arguments that set the channels in blocks.

        Raises:
            UserError: For a variant with this family's blocks and other channels: one sentence instead of many tensors.
        """
        for stage, usual in enumerate((64, 128, 256, 512), 1):
            if (channels := size_of(backbone, f'layer{stage}.0.conv1.weight', 0, usual)) != usual:
                raise UserError(
                    f'blocks of {channels} channels in stage {stage}, where a ResNet has {usual}: it is pruned, or wide; '
                    "mmpretrain's TIMMBackbone builds such networks of timm"
                )
        return {}


class ResNeXt(ResNet):
    """A ResNet with groups in its 3x3 convolutions; their shapes show it, as all keys are a ResNet's."""

    name = 'ResNeXt'
    depths = {depth: blocks for depth, blocks in RESNETS.items() if blocks[0] == 3}
    convolutions = (3,)

    def recognises(self, weights: Tensors) -> bool:
        inputs = [size_of(weights, f'backbone.layer1.0.conv{i}.weight', dim, 0) for i, dim in ((1, 0), (2, 1))]
        return 0 < inputs[1] < inputs[0]

    def widths(self, backbone: Tensors) -> dict[str, Any]:
        width = size_of(backbone, 'layer1.0.conv2.weight', 1, 4)
        found = dict(groups=size_of(backbone, 'layer1.0.conv2.weight', 0, 128) // width, width_per_group=width)
        return {key: value for key, value in found.items() if value != dict(groups=32, width_per_group=4)[key]}


class PreActResNet(ResNet):
    """A ResNet with norms before its convolutions. No other known library has weights of the same network."""

    name = 'PreActResNet'
    targets = {}
    depths = {depth: (3, blocks) for depth, blocks in PREACT_RESNETS.items()}
    convolutions = (3,)
    avg_down = 'layer2.0.downsample.1.weight'

    def recognises(self, weights: Tensors) -> bool:
        return 'backbone.layer4.norm.weight' in weights


def _stem_type(backbone: Tensors) -> bool | str:
    """Return ``deep_stem``: True or 'tiered'; raise UserError for other channels than those of ResNet-D or timm's ``t``."""
    last = size_of(backbone, 'stem.2.conv.weight', 0, 64)
    half = last // 2
    stem = [size_of(backbone, f'stem.{i}.conv.weight', 0, half) for i in range(2)]
    if stem == [half, half]:
        return True
    tiered = 3 * (half // 4)
    if stem == [tiered, half]:
        return 'tiered'
    raise UserError(
        f'a stem of {stem[0]}, {stem[1]} and {last} channels, where ResNet-D has {half}, {half} and {last}, and a tiered one '
        f'{tiered}, {half} and {last}'
    )


FAMILIES = (ResNet(), ResNeXt(), PreActResNet())
