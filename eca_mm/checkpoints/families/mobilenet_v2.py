"""MobileNetV2."""

from collections.abc import Mapping
from typing import Any

from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.attention import arguments
from eca_mm.checkpoints.family import ConfigOnly, Family, Tensors, size_of
from eca_mm.checkpoints.layout import Layout, Pairs, Target
from eca_mm.errors import UserError

_BLOCKS = (1, 2, 3, 4, 3, 3, 1)


def _names() -> Pairs:
    """Pair the names of torchvision and the authors with ours.

    They number all blocks through, and have no module around a block's last convolution and norm.
    """
    conv_bn = ((0, 'conv'), (1, 'bn'))
    pairs = [
        (f'features.{n}.{i}.', f'{name}.{part}.') for n, name in ((0, 'conv1'), (18, 'conv2')) for i, part in conv_bn
    ]
    blocks = [f'layer{stage}.{i}' for stage, count in enumerate(_BLOCKS, 1) for i in range(count)]
    for n, block in enumerate(blocks, 1):
        theirs, ours, last = f'features.{n}.conv', f'{block}.conv', min(n, 2)  # the first block does not expand
        pairs += [(f'{theirs}.{m}.{i}.', f'{ours}.{m}.{part}.') for m in range(last) for i, part in conv_bn]
        pairs += [(f'{theirs}.{last + i}.', f'{ours}.{last}.{part}.') for i, part in conv_bn]
        pairs.append((f'{theirs}.{last + 2}.', f'{ours}.eca.'))  # the authors'
    return tuple(pairs)


_NAMES = _names()


def _to_torchvision(network: Architecture) -> Target:
    others = dict(network.arguments)
    width = others.pop('widen_factor', 1.0)
    values = dict(width_mult=width, num_classes=network.plain_classes('torchvision', others))
    return Target(f'torchvision.models.mobilenet_v2({arguments(values)})', 'classifier.1.', pairs=_NAMES)


class MobileNetV2(Family):
    name = 'MobileNetV2'
    pattern = r'layer\d\.\d+\.conv\.\d\.conv\.weight'
    block = r'(layer\d)\.(\d+)\.(?:conv\.)?(.+)'
    features = 'out_channel'
    layouts = (
        Layout('authors', (r'features\.\d+\.conv\.[34]\.conv\.weight',), classifier='classifier.1.'),
        Layout('torchvision', (r'features\.\d+\.conv\.0\.0\.weight',), classifier='classifier.1.'),
    )
    key_maps = ((r'features\.0\.0\.weight', _NAMES),)
    targets = dict(torchvision=_to_torchvision)
    classifier_config = 'eca_mm::imagenet/mobilenet_v2.py'
    detector_stages = (1, 2, 4, 6)

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        if counts != _BLOCKS:
            raise UserError(f'stages of {counts} blocks are no MobileNetV2, which has {_BLOCKS}')
        widest = 320  # channels of the last stage
        width = size_of(backbone, 'layer7.0.conv.2.conv.weight', 0, widest) / widest
        return {} if width == 1 else dict(widen_factor=width)

    def config_only(self, arguments: Mapping[str, Any], config: Mapping[str, Any]) -> ConfigOnly:
        return dict(strides=((1, 2, 2, 2, 1, 2, 1), ()), dilations=((1,) * 7, ()))


FAMILIES = (MobileNetV2(),)
