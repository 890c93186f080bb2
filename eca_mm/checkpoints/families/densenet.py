"""DenseNet."""

from typing import Any

from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.attention import arguments
from eca_mm.checkpoints.family import Family, Tensors, size_of
from eca_mm.checkpoints.layout import Layout, Pairs, Target
from eca_mm.errors import UserError

DENSENETS = {  # arch: growth rate, layers of each block, channels of the stem
    '121': (32, (6, 12, 24, 16), 64),
    '161': (48, (6, 12, 36, 24), 96),
    '169': (32, (6, 12, 32, 32), 64),
    '201': (32, (6, 12, 48, 32), 64),
    '264': (32, (6, 12, 64, 48), 64),
}
_ELSEWHERE = ('121', '161', '169', '201')  # archs that torchvision and timm have by name


def _names(*parts: tuple[str, str]) -> Pairs:
    """Pair the names of torchvision, and of timm after it, with ours; ``parts`` pairs the names in a layer."""
    longest = max(max(layers) for _, layers, _ in DENSENETS.values())
    layers = [
        (f'features.denseblock{i + 1}.denselayer{j + 1}.', f'stages.{i}.block.{j}.')
        for i in range(4)
        for j in range(longest)
    ]
    return (
        *((theirs + old, ours + new) for theirs, ours in layers for old, new in parts),
        *((f'features.transition{i + 1}.', f'transitions.{i}.') for i in range(3)),
        ('features.conv0.', 'stem.0.'),
        ('features.norm0.', 'stem.1.'),
        ('features.norm5.', 'transitions.3.0.'),
    )


_NAMES = _names(('', ''))
# torchvision's published files are older than its present names.
_OLD_NAMES = _names(*((f'{part}.{i}.', f'{part}{i}.') for part in ('norm', 'conv') for i in (1, 2)))
_SIGN = r'features\.denseblock1\.denselayer1\.conv\.?1\.weight'


def _to_torchvision(network: Architecture) -> Target:
    others = dict(network.arguments)
    name, theirs = _arguments_elsewhere(others, 'DenseNet')
    values = theirs | dict(num_classes=network.plain_classes('torchvision', others))
    return Target(f'torchvision.models.{name}({arguments(values)})', 'classifier.', pairs=_NAMES)


def _to_timm(network: Architecture) -> Target:
    others = dict(network.arguments)
    name, theirs = _arguments_elsewhere(others, 'densenet121')
    if (stem := theirs.pop('num_init_features', None)) and stem != 2 * theirs['growth_rate']:
        others['init_channels'] = stem
    if 'in_channels' in others:
        theirs['in_chans'] = others.pop('in_channels')
    network.check_plain('timm', others)
    line = arguments(theirs | dict(num_classes=network.classes or 0))
    return Target(f"timm.create_model('{name}', {line})", 'classifier.', pairs=_NAMES)


def _arguments_elsewhere(others: dict[str, Any], default: str) -> tuple[str, dict[str, Any]]:
    """Return the model's name elsewhere, or a default with arguments; remove from ``others`` what these express."""
    arch, bottleneck = others.pop('arch'), others.pop('bn_size', 4)
    if arch in _ELSEWHERE and bottleneck == 4:
        return f'densenet{arch}', {}
    sizes = DENSENETS[arch] if isinstance(arch, str) else arch.values()
    named = dict(zip(('growth_rate', 'block_config', 'num_init_features'), sizes, strict=True))
    return default, named | dict(bn_size=bottleneck)


class DenseNet(Family):
    name = 'DenseNet'
    pattern = r'stages\.\d\.block\.\d+\.conv\d\.weight'
    block = r'(stages\.\d)\.block\.(\d+)\.(.+)'
    features = 'transitions.3.0.num_features'
    layouts = (
        Layout('torchvision', (_SIGN,), classifier='classifier.'),
        Layout('timm', (_SIGN,), classifier='classifier.', recognised=False),
    )
    key_maps = (
        (r'features\.denseblock1\.denselayer1\.conv1\.weight', _NAMES),
        (r'features\.denseblock1\.denselayer1\.conv\.1\.weight', _OLD_NAMES),
    )
    targets = dict(timm=_to_timm, torchvision=_to_torchvision)
    classifier_config = 'eca_mm::imagenet/resnet50.py'

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        if len(counts) != 4:
            raise UserError(f'{len(counts)} dense blocks, where a DenseNet has 4')
        if (kernel := size_of(backbone, 'stem.0.weight', 2, 7)) != 7:
            raise UserError(
                f'a stem that begins with a convolution of {kernel}x{kernel}, where a DenseNet has one of 7x7'
            )
        growth = size_of(backbone, 'stages.0.block.0.conv2.weight', 0, 32)
        stem = size_of(backbone, 'stem.0.weight', 0, 64)
        own = dict(growth_rate=growth, depths=counts, init_channels=stem)
        arch = next((name for name, sizes in DENSENETS.items() if sizes == (growth, counts, stem)), own)
        found: dict[str, Any] = dict(arch=arch)
        others = dict(
            bn_size=(size_of(backbone, 'stages.0.block.0.conv1.weight', 0, 4 * growth) // growth, 4),
            in_channels=(size_of(backbone, 'stem.0.weight', 1, 3), 3),
        )
        return found | {key: value for key, (value, default) in others.items() if value != default}


FAMILIES = (DenseNet(),)
