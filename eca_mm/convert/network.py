"""Which network a state dict belongs to: its depth, stem and attention, inferred from the tensors."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.checkpoints.fit import check_fit
from eca_mm.checkpoints.keys import MOBILENET_BLOCKS
from eca_mm.convert.untold import has_se_var1, untold_options
from eca_mm.errors import UserError
from eca_mm.models.backbones import AttentionMobileNetV2, AttentionResNet
from eca_mm.models.backbones.common import Attention


@dataclass(frozen=True)
class Network:
    """A backbone of this package, and the classes of its classifier.

    Attributes:
        kind: ``'ResNet'`` or ``'MobileNetV2'``.
        options: Its arguments besides the attention.
        attention: Config of the attention layer, or None, stage by stage.
        classes: Number of classes; None without a classifier.
    """

    kind: str
    options: dict[str, Any]
    attention: tuple[Attention, ...]
    classes: int | None

    @property
    def kernel_sizes(self) -> tuple[int, ...] | None:
        """ECA's kernel size stage by stage; None for a network that has not ECA in every stage."""
        layers = [layer for layer in self.attention if layer and layer['type'] == 'eca_mm.ECALayer']
        return tuple(layer['kernel_size'] for layer in layers) if len(layers) == len(self.attention) else None

    @property
    def config(self) -> dict[str, Any]:
        """Config of the backbone."""
        if self.kernel_sizes:
            return dict(type=f'eca_mm.ECA{self.kind}', **self.options, kernel_size=self.kernel_sizes)
        first, *others = self.attention
        attention = first if all(layer == first for layer in others) else self.attention
        slot = {} if attention is None else dict(attention=attention)
        return dict(type=f'eca_mm.Attention{self.kind}', **self.options, **slot)


def describe(network: Network) -> str:
    """The line of a config that builds the backbone.

    >>> describe(Network('ResNet', dict(depth=18), (None,) * 4, classes=1000))
    "backbone=dict(type='eca_mm.AttentionResNet', depth=18)"
    """
    return f'backbone={source_code(network.config)}'


def source_code(value: Any) -> str:
    """The value as a config states it, with ``dict(...)``."""
    if isinstance(value, dict):
        return f'dict({arguments(value)})'
    return f'({", ".join(map(source_code, value))})' if isinstance(value, tuple) else repr(value)


def arguments(values: dict[str, Any]) -> str:
    """
    >>> arguments(dict(depth=18, attention=dict(type='SELayer')))
    "depth=18, attention=dict(type='SELayer')"
    """
    return ', '.join(f'{key}={source_code(value)}' for key, value in values.items())


def check(network: Network, weights: Mapping[str, Tensor]) -> None:
    """Builds the network and compares all keys and shapes of its classifier, or of its backbone, with the weights.

    Raises:
        ValueError: As :func:`check_fit`; also for an argument that the backbone refuses, such as an even kernel size.
    """
    backbone = MODELS.build(network.config)
    own = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    if network.classes is not None:
        features = backbone.feat_dim if network.kind == 'ResNet' else backbone.out_channel
        own |= {f'head.fc.{key}': value for key, value in nn.Linear(features, network.classes).state_dict().items()}
    check_fit(own, weights, f'the weights do not fit {describe(network)}')


def infer(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> Network:
    """Infers the network from its weights.

    Args:
        weights: Weights by the names of our classifiers.
        config: The backbone's arguments, for what no tensor tells, from :func:`backbone_config`.

    Raises:
        ValueError: If no network of this package has these blocks or arguments, if the blocks of one stage differ in
            attention, or if the classifier has no classes.
    """
    backbone = {key.removeprefix('backbone.'): value for key, value in weights.items() if key.startswith('backbone.')}
    counts = _count_blocks(backbone)
    mobile = any(re.match(r'layer\d\.\d+\.conv\.\d', key) for key in backbone)
    options = _mobilenet(backbone, counts) if mobile else _resnet(backbone, counts)
    attention = tuple(_stage_attention(backbone, stage) for stage in range(1, len(counts) + 1))
    options |= untold_options(config, mobile)
    if options.get('depth', 50) < 50:
        options.pop('style', None)  # where a bottleneck has its stride; the blocks of ResNet-18 and 34 have one way
    se_var1 = has_se_var1(config, len(counts))
    attention = tuple(
        dict(type='eca_mm.SEVar1Layer') if told and layer is None else layer
        for layer, told in zip(attention, se_var1, strict=True)
    )
    classifier = [value for key, value in weights.items() if key.startswith('head.fc.')]
    classes = len(classifier[0]) if classifier and classifier[0].ndim else None
    if classes == 0:
        raise UserError('the classifier has no classes: its weight has 0 rows')
    return Network('MobileNetV2' if mobile else 'ResNet', options, attention, classes)


def _count_blocks(backbone: Mapping[str, Tensor]) -> tuple[int, ...]:
    blocks: dict[int, set[int]] = defaultdict(set)
    for key in backbone:
        if found := re.match(r'layer(\d+)\.(\d+)\.', key):
            blocks[int(found[1])].add(int(found[2]))
    for stage, numbers in blocks.items():
        if max(numbers) >= len(numbers):
            gap = min(set(range(max(numbers))) - numbers)
            raise UserError(f'block layer{stage}.{gap} is missing, although there is a layer{stage}.{max(numbers)}')
    return tuple(len(blocks[stage]) for stage in range(1, max(blocks, default=0) + 1))


def _resnet(backbone: Mapping[str, Tensor], counts: tuple[int, ...]) -> dict[str, Any]:
    convs = 3 if any(re.fullmatch(r'layer\d\.\d+\.conv3\.weight', key) for key in backbone) else 2
    depths: dict[tuple[int, tuple[int, ...]], int] = {
        (block.num_convs, n): depth for depth, (block, n) in AttentionResNet.arch_settings.items()
    }
    if (convs, counts) not in depths:
        raise UserError(
            f'stages of {_numbers(counts)} blocks with {convs} convolutions each are no ResNet-'
            f'{", ".join(map(str, AttentionResNet.arch_settings))}'
        )
    options: dict[str, Any] = dict(depth=depths[convs, counts])
    deep = any(key.startswith('stem.') for key in backbone)
    if deep:
        widths = [_size(backbone, f'stem.{i}.conv.weight', 0, 0) for i in range(3)]
        if widths[0] != widths[1]:
            raise UserError(
                f"the stem has {_numbers(widths)} channels, as timm's tiered stems; here the first two agree"
            )
        options['deep_stem'] = True
    first, last = ('stem.0.conv.weight', 'stem.2.conv.weight') if deep else ('conv1.weight', 'conv1.weight')
    for name, key, dim, default in (('stem_channels', last, 0, 64), ('in_channels', first, 1, 3)):
        if (size := _size(backbone, key, dim, default)) != default:
            options[name] = size
    if 'layer2.0.downsample.2.weight' in backbone:
        options['avg_down'] = True
    return options


def _mobilenet(backbone: Mapping[str, Tensor], counts: tuple[int, ...]) -> dict[str, Any]:
    if counts != MOBILENET_BLOCKS:
        raise UserError(
            f'stages of {_numbers(counts)} blocks are no MobileNetV2, which has {_numbers(MOBILENET_BLOCKS)}'
        )
    widest = AttentionMobileNetV2.arch_settings[-1][1]
    width = _size(backbone, 'layer7.0.conv.2.conv.weight', 0, widest) / widest
    return {} if width == 1 else dict(widen_factor=width)


def _size(tensors: Mapping[str, Tensor], key: str, dim: int, default: int) -> int:
    return tensors[key].shape[dim] if key in tensors and tensors[key].ndim > dim else default


def _numbers(values: Any) -> str:
    return ', '.join(map(str, values))


def _stage_attention(backbone: Mapping[str, Tensor], stage: int) -> Attention:
    blocks: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in backbone.items():
        if found := re.fullmatch(rf'layer{stage}\.(\d+)\.(?:conv\.)?(.+)', key):
            blocks[found[1]][found[2]] = value
    first, *others = [_attention(block) for block in blocks.values()]
    for other in others:
        if other != first:
            raise UserError(
                f'the blocks of layer{stage} differ in their attention, {source_code(first)} and {source_code(other)}; here all '
                'blocks of a stage have the same'
            )
    return first


def _attention(block: Mapping[str, Tensor]) -> Attention:
    """Config of the attention layer among the weights of one block."""
    if 'eca.conv.weight' in block:
        rows, k = (_size(block, 'eca.conv.weight', dim, 0) for dim in (0, 2))
        return dict(type='eca_mm.ECALayer' if rows == 1 else 'eca_mm.ECANSLayer', kernel_size=k)
    if 'se.fc1.weight' in block:
        hidden, channels = (_size(block, 'se.fc1.weight', dim, 0) for dim in (0, 1))
        bias = dict(bias=True) if 'se.fc1.bias' in block else {}
        return dict(type='eca_mm.SELayer', ratio=_quotient(channels, hidden), **bias)
    if 'se.conv.weight' in block:
        channels, width = (_size(block, 'se.conv.weight', dim, 0) for dim in (0, 1))
        return dict(type='eca_mm.SEGCLayer', groups=_quotient(channels, width))
    return None


def _quotient(channels: int, part: int) -> int:
    if not part or channels % part:
        raise UserError(f'an SE layer has {part} hidden channels, which do not divide its {channels}')
    return channels // part
