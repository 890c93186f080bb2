"""What other libraries call the weights of our networks, and the line that builds a network there."""

from collections.abc import Callable
from typing import Any, NamedTuple

from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.attention import arguments
from eca_mm.checkpoints.tables import DENSENET, DENSENETS, MOBILENET, POOLED_SHORTCUT, TIMM_ECA, TIMM_STEM, Pairs
from eca_mm.errors import UserError
from eca_mm.models.attention import eca_kernel_size

_DENSENETS = ('121', '161', '169', '201')
_TIMM_ARGUMENTS = (('avg_down', 'avg_down'), ('in_channels', 'in_chans'))  # (ours, theirs)
# timm chooses k and the width of SE by itself; a function of the channels, which differ from stage to stage, overrules it.
_TIMM_ECA = 'lambda c, **k: timm.layers.EcaModule(kernel_size={}[c], **k)'
_TIMM_SE = 'lambda c, **k: timm.layers.SEModule(c, rd_channels={}[c], bias={}, **k)'


class Target(NamedTuple):
    """What a library calls the weights of a network of ours.

    Attributes:
        code: The line that builds the network there.
        classifier: What the keys of its classifier begin with, ``head.fc.`` here; None to leave the classifier out.
        backbone: The same of its backbone.
        pairs: (theirs, ours) for keys that differ in more, see :mod:`eca_mm.checkpoints.tables`.
        convolutions: A part of the keys of its 1x1 convolutions that are linear layers here; '' for none.
    """

    code: str
    classifier: str | None
    backbone: str = ''
    pairs: Pairs = ()
    convolutions: str = ''


def find_target(network: Architecture, to: str) -> Target:
    """What a library calls the network's weights; UserError if it has none like it, or none of its kind is converted."""
    known = OURS | OTHERS.get(network.family, {})
    if to not in known:
        raise UserError(f'{network.family} is not converted to {to}, only to {", ".join(known)}')
    return known[to](network)


def _mobilenet_torchvision(network: Architecture) -> Target:
    others = dict(network.arguments)
    width = others.pop('widen_factor', 1.0)
    values = dict(width_mult=width, num_classes=network.plain_classifier('torchvision', others))
    return Target(f'torchvision.models.mobilenet_v2({arguments(values)})', 'classifier.1.', pairs=MOBILENET)


def _resnet_torchvision(network: Architecture) -> Target:
    others = dict(network.arguments)
    depth, widths = others.pop('depth'), _widths(network, others, 'groups', 'width_per_group')
    values = widths | dict(num_classes=network.plain_classifier('torchvision', others))
    return Target(f'torchvision.models.resnet{depth}({arguments(values)})', 'fc.')


def _widths(network: Architecture, others: dict[str, Any], groups: str, width: str) -> dict[str, Any]:
    """What a ResNet needs to be a ResNeXt, by the names of a library; takes it out of ``others``."""
    if network.family != 'ResNeXt':
        return {}
    return {groups: others.pop('groups', 32), width: others.pop('width_per_group', 4)}


def _densenet_torchvision(network: Architecture) -> Target:
    others = dict(network.arguments)
    name, theirs = _densenet_arguments(others, 'DenseNet')
    values = theirs | dict(num_classes=network.plain_classifier('torchvision', others))
    return Target(f'torchvision.models.{name}({arguments(values)})', 'classifier.', pairs=DENSENET)


def _densenet_timm(network: Architecture) -> Target:
    others = dict(network.arguments)
    name, theirs = _densenet_arguments(others, 'densenet121')
    if (stem := theirs.pop('num_init_features', None)) and stem != 2 * theirs['growth_rate']:
        others['init_channels'] = stem
    theirs |= {new: others.pop(old) for old, new in _TIMM_ARGUMENTS if old in others}
    network.plain('timm', others)
    line = arguments(theirs | dict(num_classes=network.classes or 0))
    return Target(f"timm.create_model('{name}', {line})", 'classifier.', pairs=DENSENET)


def _densenet_arguments(others: dict[str, Any], otherwise: str) -> tuple[str, dict[str, Any]]:
    """The name of a DenseNet elsewhere, and, where it has none, what to use, with arguments; takes them out of ``others``."""
    arch, bottleneck = others.pop('arch'), others.pop('bn_size', 4)
    if arch in _DENSENETS and bottleneck == 4:
        return f'densenet{arch}', {}
    sizes = DENSENETS[arch] if isinstance(arch, str) else arch.values()
    named = dict(zip(('growth_rate', 'block_config', 'num_init_features'), sizes, strict=True))
    return otherwise, named | dict(bn_size=bottleneck)


def _inception(network: Architecture, library: str, code: str, **options: Any) -> Target:
    others = dict(network.arguments)
    values = dict(num_classes=others.pop('num_classes', 1000), aux_logits=others.pop('aux_logits', False)) | options
    network.plain(library, others)
    return Target(f'{code}{arguments(values)})', None)


def _resnet_timm(network: Architecture) -> Target:
    others = dict(network.arguments)
    depth, theirs = others.pop('depth'), _widths(network, others, 'cardinality', 'base_width')
    deep = others.pop('deep_stem', False)
    if deep:
        theirs |= dict(stem_type='deep', stem_width=others.pop('stem_channels', 64) // 2)
    theirs |= {new: others.pop(old) for old, new in _TIMM_ARGUMENTS if old in others}
    network.refuse('timm', others)
    pairs = (TIMM_STEM if deep else ()) + (POOLED_SHORTCUT if 'avg_down' in theirs else ()) + TIMM_ECA
    line = arguments(theirs | dict(num_classes=network.classes or 0))
    layer = _timm_attention(network)
    attention = f', block_args=dict(attn_layer={layer})' if layer else ''
    return Target(f"timm.create_model('resnet{depth}', {line}{attention})", 'fc.', pairs=pairs, convolutions='.se.fc')


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
        raise UserError(f'timm has ECA or SE in all stages of a {network.family}, and this one has {", ".join(kinds)}')
    widths = {c: c // layer['ratio'] for c, layer in zip(channels, layers, strict=True)}
    usual = biases == {True} and all(width == max(8, c // 16) for c, width in widths.items())
    return "'se'" if usual else _TIMM_SE.format(widths, *biases)


Targets = dict[str, Callable[[Architecture], Target]]
# Library -> what it calls a network, of any kind, and of those of one.
OURS: Targets = dict(
    mmpretrain=lambda network: Target(network.code, 'head.fc.', 'backbone.'),
    backbone=lambda network: Target(network.code, None),
)
OTHERS: dict[str, Targets] = dict(
    MobileNetV2=dict(torchvision=_mobilenet_torchvision),
    ResNet=dict(timm=_resnet_timm, torchvision=_resnet_torchvision),
    ResNeXt=dict(timm=_resnet_timm, torchvision=_resnet_torchvision),
    DenseNet=dict(timm=_densenet_timm, torchvision=_densenet_torchvision),
    InceptionV3=dict(
        timm=lambda network: _inception(network, 'timm', "timm.create_model('inception_v3', "),
        torchvision=lambda network: _inception(
            network, 'torchvision', 'torchvision.models.inception_v3(', init_weights=False
        ),
    ),
)
