"""Our weights under the names of other libraries, with the line of code that builds the network there.

The tables are those of the sources, turned round.
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from eca_mm.checkpoints.conversion import Conversion
from eca_mm.checkpoints.keys import MOBILENET, POOLED_SHORTCUT, TIMM_ECA, TIMM_STEM, Pairs, rename
from eca_mm.convert.network import Network, arguments, describe
from eca_mm.errors import UserError
from eca_mm.models.attention import eca_kernel_size

Weights = Mapping[str, Tensor]


def to_mmpretrain(weights: Weights, network: Network) -> tuple[Conversion, str]:
    """Our classifier, for mmpretrain's ``ImageClassifier``; of a backbone alone it has no head."""
    return _convert(weights, backbone='backbone.', head='head.fc.'), describe(network)


def to_backbone(weights: Weights, network: Network) -> tuple[Conversion, str]:
    """The bare backbone, for ``init_cfg=dict(type='Pretrained', checkpoint=...)`` of a detector."""
    return _convert(weights, head=None), describe(network)


def to_torchvision(weights: Weights, network: Network) -> tuple[Conversion, str]:
    """A network of torchvision.

    Raises:
        ValueError: If torchvision has none like it: one with attention, with options, or without a classifier.
    """
    layers = sorted({layer['type'].split('.')[-1] for layer in network.attention if layer})
    if layers:
        raise UserError(f'torchvision has no {network.kind} with {", ".join(layers)}, only plain ones')
    if network.classes is None:
        raise UserError('there is no classifier among these weights, and torchvision has no network without one')
    options = dict(network.options)
    if network.kind == 'ResNet':
        name, width = f'resnet{options.pop("depth")}', {}
        result = _convert(weights, head='fc.')
    else:
        name, width = 'mobilenet_v2', dict(width_mult=options.pop('widen_factor', 1.0))
        result = _convert(weights, MOBILENET, head='classifier.1.')
    if options:
        raise UserError(f'torchvision has no {network.kind} with {arguments(options)}')
    return result, f'torchvision.models.{name}({arguments(dict(**width, num_classes=network.classes))})'


def to_timm(weights: Weights, network: Network) -> tuple[Conversion, str]:
    """A ResNet of timm.

    Raises:
        ValueError: If timm has none like it: for MobileNetV2, whose blocks have no attention there, for other attention
            than ECA and SE, for attention that is not in every stage, and for some options.
    """
    if network.kind != 'ResNet':
        raise UserError(f'only ResNets are converted to timm, and this is a {network.kind}')
    options = dict(network.options)
    name, deep = f'resnet{options.pop("depth")}', options.pop('deep_stem', False)
    theirs = dict(stem_type='deep', stem_width=options.pop('stem_channels', 64) // 2) if deep else {}
    theirs |= {new: options.pop(old) for old, new in _TIMM_OPTIONS if old in options}
    if options:
        raise UserError(f'timm has no ResNet with {arguments(options)}')
    result = _convert(
        weights, TIMM_STEM if deep else (), POOLED_SHORTCUT if 'avg_down' in theirs else (), TIMM_ECA, head='fc.'
    )
    for key, value in result.tensors.items():
        if '.se.fc' in key and value.ndim == 2:  # linear layers here, 1x1 convolutions there
            result.tensors[key] = value[:, :, None, None]
    line = arguments(theirs | dict(num_classes=network.classes or 0))
    layer = _timm_attention(network)
    attention = f', block_args=dict(attn_layer={layer})' if layer else ''
    return result, f"timm.create_model('{name}', {line}{attention})"


_TIMM_OPTIONS = (('avg_down', 'avg_down'), ('in_channels', 'in_chans'))
# timm chooses k and the width of SE by itself; a function of the channels, which differ from stage to stage, overrules it.
_TIMM_ECA = 'lambda c, **k: timm.layers.EcaModule(kernel_size={}[c], **k)'
_TIMM_SE = 'lambda c, **k: timm.layers.SEModule(c, rd_channels={}[c], bias={}, **k)'


def _timm_attention(network: Network) -> str | None:
    """What timm calls the attention, as source code."""
    if not any(network.attention):
        return None
    kinds = {layer['type'] if layer else 'none' for layer in network.attention}
    channels = [64 * 2**stage * (4 if network.options['depth'] >= 50 else 1) for stage in range(4)]
    if network.kernel_sizes:
        sizes = dict(zip(channels, network.kernel_sizes, strict=True))
        return "'eca'" if all(k == eca_kernel_size(c) for c, k in sizes.items()) else _TIMM_ECA.format(sizes)
    layers = [layer for layer in network.attention if layer]
    biases = {layer.get('bias', False) for layer in layers}
    if kinds != {'eca_mm.SELayer'} or len(biases) > 1:
        raise UserError(f'timm has ECA or SE in all stages of a ResNet, and this one has {", ".join(sorted(kinds))}')
    widths = {c: c // layer['ratio'] for c, layer in zip(channels, layers, strict=True)}
    usual = biases == {True} and all(width == max(8, c // 16) for c, width in widths.items())
    return "'se'" if usual else _TIMM_SE.format(widths, *biases)


def _convert(weights: Weights, *groups: Pairs, backbone: str = '', head: str | None) -> Conversion:
    pairs = tuple((ours, theirs) for group in groups for theirs, ours in group)
    result = Conversion()
    for key, tensor in weights.items():
        if not key.startswith('head.fc.'):
            result.place(key, backbone + rename(key.removeprefix('backbone.'), pairs), tensor)
        elif head is None:
            result.drop(key, 'a backbone has no classifier')
        else:
            result.place(key, head + key.removeprefix('head.fc.'), tensor)
    return result


TARGETS: dict[str, Callable[[Weights, Network], tuple[Conversion, str]]] = dict(
    mmpretrain=to_mmpretrain, timm=to_timm, torchvision=to_torchvision, backbone=to_backbone
)
