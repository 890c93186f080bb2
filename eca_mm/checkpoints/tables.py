"""Tables of the networks that are known here, and of what other libraries call their weights.

Every table translates to and from the names of our classifiers, ``backbone.*`` and ``head.fc.*``. No key tells where a
block has its stride, how a convolution is dilated, nor of layers without weights: anti-aliasing, activations, SE-Var1.
"""

# (theirs, ours): the beginnings of two keys, or, where the first has a leading dot, parts of them. The first that fits
# counts, and in the other direction the pairs are turned round.
Pairs = tuple[tuple[str, str], ...]

TIMM_STEM: Pairs = (
    ('conv1.0.', 'stem.0.conv.'),
    ('conv1.1.', 'stem.0.bn.'),
    ('conv1.3.', 'stem.1.conv.'),
    ('conv1.4.', 'stem.1.bn.'),
    ('conv1.6.', 'stem.2.conv.'),
    ('bn1.', 'stem.2.bn.'),
)
MMDET_STEM: Pairs = tuple(
    (f'stem.{3 * i + j}.', f'stem.{i}.{part}.') for i in range(3) for j, part in enumerate(('conv', 'bn'))
)
# timm and mmdet have a pool in front of the first stage's shortcut too, where it does nothing.
POOLED_SHORTCUT: Pairs = (
    ('layer1.0.downsample.1.', 'layer1.0.downsample.0.'),
    ('layer1.0.downsample.2.', 'layer1.0.downsample.1.'),
)
MMPRETRAIN_SE: Pairs = (('.se_layer.conv1.conv.', '.se.fc1.'), ('.se_layer.conv2.conv.', '.se.fc2.'))
TIMM_ECA: Pairs = (('.se.conv.', '.eca.conv.'),)
MOBILENET_BLOCKS = (1, 2, 3, 4, 3, 3, 1)
RESNETS = {  # depth: convolutions of a block, blocks of each stage
    18: (2, (2, 2, 2, 2)),
    34: (2, (3, 4, 6, 3)),
    50: (3, (3, 4, 6, 3)),
    101: (3, (3, 4, 23, 3)),
    152: (3, (3, 8, 36, 3)),
}
PREACT_RESNETS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
DENSENETS = {  # arch: growth rate, layers of each block, channels of the stem
    '121': (32, (6, 12, 24, 16), 64),
    '161': (48, (6, 12, 36, 24), 96),
    '169': (32, (6, 12, 32, 32), 64),
    '201': (32, (6, 12, 48, 32), 64),
    '264': (32, (6, 12, 64, 48), 64),
}


def _mobilenet() -> Pairs:
    """torchvision counts all blocks through, and has no module around a block's last convolution and norm."""
    pairs = [
        (f'features.{n}.{i}.', f'{name}.{part}.') for n, name in ((0, 'conv1'), (18, 'conv2')) for i, part in _CONV_BN
    ]
    blocks = [f'layer{stage}.{i}' for stage, count in enumerate(MOBILENET_BLOCKS, 1) for i in range(count)]
    for n, block in enumerate(blocks, 1):
        theirs, ours, last = f'features.{n}.conv', f'{block}.conv', min(n, 2)  # the first block does not expand
        pairs += [(f'{theirs}.{m}.{i}.', f'{ours}.{m}.{part}.') for m in range(last) for i, part in _CONV_BN]
        pairs += [(f'{theirs}.{last + i}.', f'{ours}.{last}.{part}.') for i, part in _CONV_BN]
        pairs.append((f'{theirs}.{last + 2}.', f'{ours}.eca.'))  # the authors'
    return tuple(pairs)


_CONV_BN = ((0, 'conv'), (1, 'bn'))
MOBILENET = _mobilenet()


def _densenet(*parts: tuple[str, str]) -> Pairs:
    """torchvision, and timm after it, count blocks and layers from 1."""
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


DENSENET = _densenet(('', ''))
# The files that torchvision publishes are older than its names.
OLD_DENSENET = _densenet(*((f'{part}.{i}.', f'{part}{i}.') for part in ('norm', 'conv') for i in (1, 2)))

# Kind of network: a pattern of keys that every backbone of this kind has here. What shares it with another, as ResNeXt, is
# told from it by its `Family`.
_BOTTLENECKS = r'layer\d\.\d+\.conv\d\.weight'
NETWORKS = {
    'ResNet': _BOTTLENECKS,
    'ResNeXt': _BOTTLENECKS,
    'PreActResNet': _BOTTLENECKS,
    'MobileNetV2': r'layer\d\.\d+\.conv\.\d\.conv\.weight',
    'DenseNet': r'stages\.\d\.block\.\d+\.conv\d\.weight',
    'InceptionV3': r'Mixed_5b\.branch1x1\.conv\.weight',
}

# A pattern of keys that only the other library has, and the pairs to apply when there is one.
VARIANTS: tuple[tuple[str, Pairs], ...] = (
    (r'conv1\.6\.weight', TIMM_STEM),
    (r'stem\.6\.weight', MMDET_STEM),
    (r'layer1\.0\.downsample\.2\.weight', POOLED_SHORTCUT),
    (r'.+\.se_layer\..+', MMPRETRAIN_SE),
    (r'features\.0\.0\.weight', MOBILENET),
    (r'features\.denseblock1\.denselayer1\.conv1\.weight', DENSENET),
    (r'features\.denseblock1\.denselayer1\.conv\.1\.weight', OLD_DENSENET),
)
