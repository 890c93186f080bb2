"""Faster R-CNN, Mask R-CNN and RetinaNet from MMDetection 1.x to mmdet 3.

1.x had the background as class 0 of K + 1; now it is class K, and what is predicted per class is so for the K others alone:

    bbox_head.fc_cls        K + 1 rows       the first row becomes the last
    bbox_head.fc_reg        4 (K + 1) rows   the first four are dropped
    mask_head.conv_logits   K + 1 rows       the first is dropped

The heads of the second stage moved into ``roi_head``. RPN and RetinaNet, whose sigmoids need no background, are the same
in both, but for the names of RetinaNet's convolutions up to 0.5.3.
"""

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from eca_mm.checkpoints.keys import is_mmdet1
from eca_mm.checkpoints.renaming import Renaming
from eca_mm.checkpoints.weights import first_names, plain
from eca_mm.errors import UserError

# What each detector consists of besides its backbone, by the names in 1.x; each layer has a weight and a bias.
_TWO_STAGES = (
    *(f'neck.{part}.{i}.conv' for part in ('lateral_convs', 'fpn_convs') for i in range(4)),
    *(f'rpn_head.rpn_{layer}' for layer in ('conv', 'cls', 'reg')),
    *(f'bbox_head.{layer}' for layer in ('shared_fcs.0', 'shared_fcs.1', 'fc_cls', 'fc_reg')),
)
_MASKS = (*(f'mask_head.convs.{i}.conv' for i in range(4)), 'mask_head.upsample', 'mask_head.conv_logits')
_RETINA = (
    *(f'neck.lateral_convs.{i}.conv' for i in range(3)),
    *(f'neck.fpn_convs.{i}.conv' for i in range(5)),
    *(f'bbox_head.{branch}_convs.{i}.conv' for branch in ('cls', 'reg') for i in range(4)),
    *(f'bbox_head.retina_{layer}' for layer in ('cls', 'reg')),
)

# Layers with a prediction per class, the background's first: their rows for each class.
_ROWS = {'bbox_head.fc_cls': 1, 'bbox_head.fc_reg': 4, 'mask_head.conv_logits': 1}


def recognises(keys: Collection[str]) -> bool:
    """Whether the keys are those of a detector of MMDetection 1.x, complete or not.

    RetinaNet's have been the same from 0.5.4 to mmdet 3, so mmdet 3's is recognised, too; nothing is then changed in it.
    """
    return is_mmdet1(keys) or any(plain(key).startswith('bbox_head.retina_cls.') for key in keys)


def upgrade(state: Mapping[str, Tensor]) -> Renaming:
    """Renames the weights of a detector of MMDetection 1.x, and puts its classes into the order of mmdet 3.

    Raises:
        UserError: If layers are missing, have no place in these detectors (Cascade R-CNN's heads, say), or have rows that
            do not agree on the number of classes.
    """
    result = Renaming()
    names = {key: re.sub(r'((?:cls|reg)_convs\.\d)\.(weight|bias)$', r'\1.conv.\2', plain(key)) for key in state}
    parts = {name.split('.')[0] for name in names.values()}
    two_stages = 'rpn_head' in parts
    layers = (*_TWO_STAGES, *(_MASKS if 'mask_head' in parts else ())) if two_stages else _RETINA
    places = {f'{layer}.{kind}' for layer in layers for kind in ('weight', 'bias')}

    shapes = {name: state[key].shape for key, name in names.items()}
    problems = [
        f'{layer}.{kind} is {tuple(shape)}, and {beside}, {tuple(shapes[beside])}, asks for {times * shapes[beside][0]} rows'
        for layer, times in _ROWS.items()
        for kind in ('weight', 'bias')
        if (shape := shapes.get(f'{layer}.{kind}')) and shapes.get(beside := f'bbox_head.fc_cls.{kind}')
        if shape[0] != times * shapes[beside][0]
    ]
    problems += [
        f'{key} is {tuple(state[key].shape)}' for key, name in names.items() if name in places and not shapes[name]
    ]
    if 'backbone' not in parts:
        problems.append('the detector has no backbone: there is no key that begins with backbone.')
    problems += [f'{name} is missing' for name in sorted(places - set(names.values()))]
    problems += [
        f'{key} has no place in Faster R-CNN, Mask R-CNN or RetinaNet'
        for key, name in names.items()
        if not name.startswith('backbone.') and name not in places
    ]
    if problems:
        raise UserError(first_names(problems, between='; '))
    for key, name in names.items():
        second_stage = two_stages and name.startswith(('bbox_head.', 'mask_head.'))
        tensor, change = _reorder(name, state[key])
        result.place(key, f'roi_head.{name}' if second_stage else name, tensor)
        if change:
            result.changes[key] = change
    return result


def _reorder(name: str, tensor: Tensor) -> tuple[Tensor, str]:
    """From background first to background last, or without it: (rows, ...) to (rows or fewer, ...), and a word on it."""
    layer = name.rpartition('.')[0]
    if layer not in _ROWS:
        return tensor, ''
    if layer == 'bbox_head.fc_cls':
        return tensor.roll(-1, dims=0), f'{len(tensor)} rows: background first -> last'
    kept = tensor[_ROWS[layer] :].clone()
    return kept, f'{len(tensor)} -> {len(kept)} rows: background first -> none'
