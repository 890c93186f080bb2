"""Recognise the library that named the weights in a state dict; translate to and from the names of our classifiers.

Ours are ``backbone.*`` and ``head.fc.*``. No key shows where a block has its stride, how a convolution is dilated, or layers
without weights: anti-aliasing, activations, SE-Var1.
"""

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from eca_mm.checkpoints.families import FAMILIES
from eca_mm.checkpoints.families.resnet import TIMM_ECA
from eca_mm.checkpoints.layout import Layout, Target, rename
from eca_mm.checkpoints.renaming import Renaming
from eca_mm.checkpoints.weights import first_names, shorten, strip_prefixes
from eca_mm.errors import UserError

DETECTOR = ('neck.', *(f'{part}_head.' for part in ('rpn', 'roi', 'bbox', 'mask', 'panoptic', 'decode', 'auxiliary')))
# OpenMMLab's libraries, whose names are ours, come first, and bare backbones last: their signs are the least specific.
LAYOUTS = (
    Layout('mmdet', (r'backbone\.<ours>', f'({"|".join(DETECTOR)}).+'), 'backbone.', dropped=DETECTOR),
    Layout('mmpretrain', (r'backbone\.<ours>',), 'backbone.', 'head.fc.'),
    *dict.fromkeys(layout for family in FAMILIES for layout in family.layouts),
    Layout('backbone', ('<ours>',)),
)


def find_layout(keys: Collection[str], source: str | None = None) -> Layout:
    """Find the layout of a state dict by its keys; a source, if given, must be its library.

    Plain networks of torchvision and timm have the same keys: they are taken for torchvision's without a source.

    Raises:
        UserError: If the keys are of no network that this package has, or not of that source.
    """
    names = [strip_prefixes(key) for key in keys]
    ours = f'({"|".join(dict.fromkeys(family.pattern for family in FAMILIES))})'
    for layout in LAYOUTS:
        if layout.source == source or (source is None and layout.recognised):
            signs = [sign.replace('<ours>', ours) for sign in layout.signs]
            if all(any(re.fullmatch(sign, name) for name in names) for sign in signs):
                return layout
    known = source or ', '.join(dict.fromkeys(layout.source for layout in LAYOUTS))
    *others, last = (family.name for family in FAMILIES)
    raise UserError(
        f'these are not the weights of a {", ".join(others)} or {last} as {known} name{"s" * bool(source)} them: '
        f'{len(names)} keys, {first_names(names, 3)}'
    )


def is_mmdet1(keys: Collection[str]) -> bool:
    """Check whether the keys are those of a detector of MMDetection 1.x and of no later version."""
    names = [strip_prefixes(key) for key in keys]
    parts = {name.split('.')[0] for name in names}
    old_retina = any(re.match(r'bbox_head\.(cls|reg)_convs\.\d\.(weight|bias)', name) for name in names)  # to 0.5.3
    return old_retina or ('rpn_head' in parts and not parts.isdisjoint(('bbox_head', 'mask_head')))


def to_ours(tensors: Mapping[str, Tensor], layout: Layout) -> Renaming:
    """Rename weights to the names of our classifiers.

    A key without a rule keeps its name; the comparison with a model tells whether it is expected.

    Raises:
        UserError: If two keys become one, or a tensor is empty or a scalar.
    """
    names = {key: strip_prefixes(key) for key in tensors}
    inner = [name.removeprefix(layout.backbone) for name in names.values()]
    key_maps = dict.fromkeys(key_map for family in FAMILIES for key_map in family.key_maps)
    pairs = tuple(pair for sign, group in key_maps if any(re.fullmatch(sign, name) for name in inner) for pair in group)
    result = Renaming()
    for key, name in names.items():
        tensor = tensors[key]
        if not (tensor.ndim and tensor.numel()) and not name.endswith('num_batches_tracked'):
            raise UserError(f'{shorten(key)} is {tuple(tensor.shape)}, which no weight of a network is')
        if layout.classifier and name.startswith(layout.classifier):
            name = f'head.fc.{name.removeprefix(layout.classifier)}'
        elif name.startswith(layout.dropped):
            result.dropped[key] = 'belongs to the detector, not to its backbone'
            continue
        elif name.startswith(layout.backbone):
            name, tensor = _rename_attention(f'backbone.{rename(name.removeprefix(layout.backbone), pairs)}', tensor)
        result.add(key, name, tensor)
    return result


def to_theirs(weights: Mapping[str, Tensor], target: Target) -> Renaming:
    """Rename our classifier's weights to the names of a target."""
    pairs = tuple((ours, theirs) for theirs, ours in target.pairs)
    result = Renaming()
    for key, tensor in weights.items():
        if not key.startswith('head.fc.'):
            name = target.backbone + rename(key.removeprefix('backbone.'), pairs)
            as_convolution = target.convolutions and target.convolutions in name and tensor.ndim == 2
            result.add(key, name, tensor[:, :, None, None] if as_convolution else tensor)
        elif target.classifier is None:
            result.dropped[key] = 'a backbone has no classifier'
        else:
            result.add(key, target.classifier + key.removeprefix('head.fc.'), tensor)
    return result


def _rename_attention(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    if '.se.conv.' in name and tensor.shape[:2] == (1, 1):  # timm's ECA; our SE-GC has C rows under this name
        name = rename(name, TIMM_ECA)
    if '.se.fc' in name and tensor.ndim == 4:  # timm's and mmpretrain's SE has 1x1 convolutions for our linear layers
        tensor = tensor.flatten(1)
    return name, tensor
