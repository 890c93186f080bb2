"""Faster R-CNN, Mask R-CNN and RetinaNet from MMDetection 1.x to mmdet 3.

In 1.x the background was class 0 of K + 1. Now it is class K, and has no box and no mask of its own:

    bbox_head.fc_cls        K + 1 rows       the first row becomes the last
    bbox_head.fc_reg        4 (K + 1) rows   the first four are dropped
    mask_head.conv_logits   K + 1 rows       the first is dropped

The heads of the second stage moved into ``roi_head``. RPN and RetinaNet, whose sigmoids need no background, did not change,
except the names of RetinaNet's convolutions, which have been the same since 0.5.4.
"""

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from eca_mm.checkpoints.keys import is_mmdet1
from eca_mm.checkpoints.renaming import Renaming
from eca_mm.checkpoints.weights import first_names, strip_prefixes
from eca_mm.errors import UserError

# The layers of each detector besides its backbone, by the names in 1.x; each has a weight and a bias.
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

# Layers with predictions per class, the background first -> rows per class.
_ROWS = {'bbox_head.fc_cls': 1, 'bbox_head.fc_reg': 4, 'mask_head.conv_logits': 1}


def recognises(keys: Collection[str]) -> bool:
    """Check whether the keys are those of a detector of MMDetection 1.x, complete or not.

    RetinaNet's keys are the same from 0.5.4 to mmdet 3, so that mmdet 3's is recognised as well, and stays unchanged.
    """
    return is_mmdet1(keys) or any(strip_prefixes(key).startswith('bbox_head.retina_cls.') for key in keys)


def upgrade(state: Mapping[str, Tensor]) -> Renaming:
    """Rename the weights of a detector of MMDetection 1.x, and reorder its classes as in mmdet 3.

    Raises:
        UserError: If layers are missing or unexpected (those of Cascade R-CNN's heads, say), or their rows
            disagree on the number of classes.
    """
    result = Renaming()
    names = {
        key: re.sub(r'((?:cls|reg)_convs\.\d)\.(weight|bias)$', r'\1.conv.\2', strip_prefixes(key)) for key in state
    }
    parts = {name.split('.')[0] for name in names.values()}
    two_stages = 'rpn_head' in parts
    layers = (*_TWO_STAGES, *(_MASKS if 'mask_head' in parts else ())) if two_stages else _RETINA
    expected = {f'{layer}.{kind}' for layer in layers for kind in ('weight', 'bias')}

    shapes = {name: state[key].shape for key, name in names.items()}
    problems = [
        f'{layer}.{kind} is {tuple(shape)}, and {beside}, {tuple(shapes[beside])}, asks for {times * shapes[beside][0]} rows'
        for layer, times in _ROWS.items()
        for kind in ('weight', 'bias')
        if (shape := shapes.get(f'{layer}.{kind}')) and shapes.get(beside := f'bbox_head.fc_cls.{kind}')
        if shape[0] != times * shapes[beside][0]
    ]
    problems += [
        f'{key} is {tuple(state[key].shape)}' for key, name in names.items() if name in expected and not shapes[name]
    ]
    if 'backbone' not in parts:
        problems.append('the detector has no backbone: there is no key that begins with backbone.')
    problems += [f'{name} is missing' for name in sorted(expected - set(names.values()))]
    problems += [
        f'{key} has no place in Faster R-CNN, Mask R-CNN or RetinaNet'
        for key, name in names.items()
        if not name.startswith('backbone.') and name not in expected
    ]
    if problems:
        raise UserError(first_names(problems, between='; '))
    for key, name in names.items():
        second_stage = two_stages and name.startswith(('bbox_head.', 'mask_head.'))
        tensor, change = _reorder(name, state[key])
        result.add(key, f'roi_head.{name}' if second_stage else name, tensor)
        if change:
            result.changes[key] = change
    return result


def _reorder(name: str, tensor: Tensor) -> tuple[Tensor, str]:
    """Move the background's rows to the end, or drop them: (rows, ...) to (rows or fewer, ...), with a description."""
    layer = name.rpartition('.')[0]
    if layer not in _ROWS:
        return tensor, ''
    if layer == 'bbox_head.fc_cls':
        return tensor.roll(-1, dims=0), f'{len(tensor)} rows: background first -> last'
    kept = tensor[_ROWS[layer] :].clone()
    return kept, f'{len(tensor)} -> {len(kept)} rows: background first -> none'
