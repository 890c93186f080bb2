"""Which file is of which library, and its weights by the names that they have in our classifiers.

A new source is a `Layout`; where its names differ, or the kind of network is new, :mod:`eca_mm.checkpoints.tables` has more.
"""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from torch import Tensor

from eca_mm.checkpoints.renaming import Renaming
from eca_mm.checkpoints.tables import NETWORKS, TIMM_ECA, VARIANTS, Pairs
from eca_mm.checkpoints.weights import first_names, plain, shown
from eca_mm.errors import UserError


class Layout(NamedTuple):
    """One way to name all the weights of a network.

    Attributes:
        source: The library.
        signs: Patterns, each of which must fit a key; ``<ours>`` stands for the patterns of ``NETWORKS``.
        backbone, classifier, dropped: What the keys of these parts begin with.
    """

    source: str
    signs: tuple[str, ...]
    backbone: str = ''
    classifier: str = ''
    dropped: tuple[str, ...] = ()


DETECTOR = ('neck.', *(f'{part}_head.' for part in ('rpn', 'roi', 'bbox', 'mask', 'panoptic', 'decode', 'auxiliary')))
_RESNET, _INCEPTION = NETWORKS['ResNet'], NETWORKS['InceptionV3']
_DENSENET = r'features\.denseblock1\.denselayer1\.conv\.?1\.weight'
LAYOUTS = (
    Layout('mmdet', (r'backbone\.<ours>', f'({"|".join(DETECTOR)}).+'), 'backbone.', dropped=DETECTOR),
    Layout('mmpretrain', (r'backbone\.<ours>',), 'backbone.', 'head.fc.'),
    Layout('authors', (_RESNET, r'fc\..+', r'layer\d\.\d+\.eca\..+'), classifier='fc.'),
    Layout('authors', (r'features\.\d+\.conv\.[34]\.conv\.weight',), classifier='classifier.1.'),
    Layout('timm', (_RESNET, r'layer\d\.\d+\.se\.(conv|fc1)\.weight', r'fc\..+'), classifier='fc.'),
    Layout('timm', (_RESNET, r'conv1\.6\.weight|layer1\.0\.downsample\.2\.weight'), classifier='fc.'),
    Layout('torchvision', (_RESNET, r'fc\..+'), classifier='fc.'),
    Layout('torchvision', (r'features\.\d+\.conv\.0\.0\.weight',), classifier='classifier.1.'),
    Layout('torchvision', (_DENSENET,), classifier='classifier.'),
    Layout('torchvision', (_INCEPTION,)),  # a classifier here too, which is part of the backbone
    Layout('backbone', ('<ours>',)),
    Layout('timm', (_RESNET,), classifier='fc.'),  # if told so: a plain network of timm has torchvision's keys
    Layout('timm', (_DENSENET,), classifier='classifier.'),
    Layout('timm', (_INCEPTION,)),
)


def find_layout(keys: Collection[str], source: str | None = None) -> Layout:
    """Recognises whose weights these are, by the keys of a state dict alone.

    Or takes it for one of a given source, as plain ResNets of torchvision and timm have the same keys.

    Raises:
        UserError: If the keys are of no network that this package has, or not of that source.
    """
    names, ours = [plain(key) for key in keys], f'({"|".join(NETWORKS.values())})'
    for layout in LAYOUTS:
        signs = [sign.replace('<ours>', ours) for sign in layout.signs if source in (None, layout.source)]
        if signs and all(any(re.fullmatch(sign, name) for name in names) for sign in signs):
            return layout
    known = source or ', '.join(dict.fromkeys(layout.source for layout in LAYOUTS))
    *kinds, last = NETWORKS
    raise UserError(
        f'these are not the weights of a {", ".join(kinds)} or {last} as {known} name{"s" * bool(source)} them: '
        f'{len(names)} keys, {first_names(names, 3)}'
    )


def is_mmdet1(keys: Collection[str]) -> bool:
    """Whether the keys are those of a detector as MMDetection 1.x names it, and no later one."""
    names = [plain(key) for key in keys]
    parts = {name.split('.')[0] for name in names}
    old_retina = any(re.match(r'bbox_head\.(cls|reg)_convs\.\d\.(weight|bias)', name) for name in names)  # to 0.5.3
    return old_retina or ('rpn_head' in parts and not parts.isdisjoint(('bbox_head', 'mask_head')))


def to_ours(tensors: Mapping[str, Tensor], layout: Layout) -> Renaming:
    """Gives weights the names that they have in our classifiers.

    A key without a rule keeps its name, below ``backbone.`` where all is backbone: whether it has a place is for the
    comparison with a model to say. Raises UserError if two keys become one.
    """
    names = {key: plain(key) for key in tensors}
    inner = [name.removeprefix(layout.backbone) for name in names.values()]
    pairs = tuple(pair for sign, group in VARIANTS if any(re.fullmatch(sign, name) for name in inner) for pair in group)
    result = Renaming()
    for key, name in names.items():
        tensor = tensors[key]
        if not (tensor.ndim and tensor.numel()) and not name.endswith('num_batches_tracked'):
            raise UserError(f'{shown(key)} is {tuple(tensor.shape)}, which no weight of a network is')
        if layout.classifier and name.startswith(layout.classifier):
            name = f'head.fc.{name.removeprefix(layout.classifier)}'
        elif name.startswith(layout.dropped):
            result.dropped[key] = 'belongs to the detector, not to its backbone'
            continue
        elif name.startswith(layout.backbone):
            name, tensor = _attention(f'backbone.{rename(name.removeprefix(layout.backbone), pairs)}', tensor)
        result.place(key, name, tensor)
    return result


def rename(name: str, pairs: Pairs) -> str:
    """The name with the first pair applied that fits it.

    >>> rename('layer1.0.se.conv.weight', TIMM_ECA)
    'layer1.0.eca.conv.weight'
    """
    for old, new in pairs:
        if name.startswith(old) or (old.startswith('.') and old in name):
            return name.replace(old, new, 1)
    return name


def _attention(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    if '.se.conv.' in name and tensor.shape[:2] == (1, 1):  # timm's ECA; our SE-GC has C rows under this name
        name = rename(name, TIMM_ECA)
    if '.se.fc' in name and tensor.ndim == 4:  # timm's and mmpretrain's SE has 1x1 convolutions for our linear layers
        tensor = tensor.flatten(1)
    return name, tensor


def kernel_sizes(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """k of ECA by stage, without entries where there is none, from weights by the names of our backbones or classifiers.

    >>> kernel_sizes({f'layer{n}.0.eca.conv.weight': Tensor(1, 1, k) for n, k in ((1, 3), (4, 7))})
    (3, 7)
    """
    sizes = {}
    for key, value in weights.items():
        stage = re.match(r'(?:backbone\.)?\D*(\d)[a-e]?\..*\beca\.conv\.weight$', key)
        if stage and value.ndim == 3:  # (1, 1, k), or (C, 1, k) of ECA-NS
            sizes[int(stage[1])] = value.shape[2]
    return tuple(sizes[stage] for stage in sorted(sizes))
