"""Detectors of MMDetection 1.x as ones of mmdet 3."""

import re

import pytest
import torch

from eca_mm.convert.mmdet1 import recognises, upgrade
from eca_mm.models import ECAResNet
from tests.convert.networks import convert_state
from tests.reference.mmdet1 import build, downgrade

DETECTORS = ('faster_rcnn_eca_r50_fpn', 'mask_rcnn_eca_r50_fpn', 'retinanet_eca_r50_fpn')


@pytest.fixture(scope='module')
def checkpoints():
    """Detector -> (its weights in mmdet 3, the same in the layout of 1.x)."""
    made = {}
    for name in DETECTORS:
        state = build(name).state_dict()
        for tensor in state.values():
            if tensor.dim() == 1:  # the initial biases and statistics are all alike
                tensor.add_(0.1 * torch.randn(tensor.shape))
        made[name] = state, downgrade(state)
    return made


@pytest.mark.parametrize('name', DETECTORS)
def test_upgrade_gives_the_same_weights(name, checkpoints):
    own, old = checkpoints[name]
    assert recognises(old)
    before = {key: tensor.clone() for key, tensor in old.items()}
    result = upgrade({f'module.{key}': tensor for key, tensor in old.items()})
    assert not result.dropped and all(old[key].equal(before[key]) for key in old)
    assert list(result.tensors) == list(own) and all(result.tensors[key].equal(own[key]) for key in own)
    assert list(result.names) == [f'module.{key}' for key in old] and list(result.names.values()) == list(own)
    # Nothing keeps a dropped row alive in the file that is written.
    assert all(t.untyped_storage().nbytes() == t.numel() * t.element_size() for t in result.tensors.values())


def test_the_oldest_retinanets(checkpoints):
    """Up to 0.5.3, cls_convs.0.weight; mmdet's converter tells of it."""
    _, new = checkpoints['retinanet_eca_r50_fpn']
    old = {re.sub(r'((?:cls|reg)_convs\.\d)\.conv', r'\1', key): tensor for key, tensor in new.items()}
    assert 'bbox_head.cls_convs.0.weight' in old and recognises(old)
    result = convert_state(old)
    assert (result.source, result.target) == ('mmdet1', 'mmdet') and ' 16 renamed, 0 dropped' in str(result)
    assert result.code == "backbone=dict(type='eca_mm.ECAResNet', depth=50, kernel_size=(3, 3, 7, 7))"
    assert all(result.keys.tensors[key].equal(new[key]) for key in new)
    result = convert_state(old, to='backbone')
    assert result.source == 'mmdet1'
    assert result.keys.dropped['bbox_head.retina_cls.bias'] == 'belongs to the detector, not to its backbone'
    ECAResNet(50, (3, 3, 7, 7)).load_state_dict(result.keys.tensors, strict=True)


def test_background_goes_first_to_last_and_away(checkpoints):
    """Rows numbered by 1.x's labels, 0 for the background: weights and biases alike (mmdet's converter forgets these)."""
    labels = torch.arange(81.0)
    rows = {
        'bbox_head.fc_cls': labels, 'bbox_head.fc_reg': labels.repeat_interleave(4), 'mask_head.conv_logits': labels,
    }  # fmt: skip
    state = dict(checkpoints['mask_rcnn_eca_r50_fpn'][1])
    for layer, numbers in rows.items():
        state[f'{layer}.bias'] = numbers
        state[f'{layer}.weight'] = numbers[:, None].expand(-1, 8)
    heads, things = upgrade(state).tensors, labels[1:]
    expected = {
        'bbox_head.fc_cls': torch.cat((things, torch.zeros(1))),
        'bbox_head.fc_reg': things.repeat_interleave(4),
        'mask_head.conv_logits': things,
    }
    for layer, numbers in expected.items():
        assert torch.equal(heads[f'roi_head.{layer}.bias'], numbers)
        assert torch.equal(heads[f'roi_head.{layer}.weight'][:, 0], numbers)


def test_recognises_1x_alone(checkpoints):
    for name, (new, old) in checkpoints.items():
        assert recognises(old.keys()) and recognises([f'module.{key}' for key in old])
        if 'retina' not in name:  # whose names have not changed
            assert not recognises(new)
        backbone = [key for key in new if key.startswith('backbone.')]
        assert not recognises(backbone) and not recognises([key.removeprefix('backbone.') for key in backbone])
    rpn = [key for key in checkpoints['faster_rcnn_eca_r50_fpn'][1] if not key.startswith('bbox_head.')]
    assert not recognises(rpn)
    classifier = ['conv1.weight', 'layer1.0.eca.conv.weight', 'fc.weight', 'fc.bias']
    assert not recognises(classifier) and not recognises([f'module.{key}' for key in classifier])
    assert not recognises(['backbone.conv1.weight', 'bbox_head.fcos_cls.weight']) and not recognises([])


def without(beginning):
    return lambda state: {key: value for key, value in state.items() if not key.startswith(beginning)}


CLS, REG, CONV = 'bbox_head.fc_cls.bias', 'bbox_head.fc_reg.bias', 'mask_head.conv_logits.weight'


@pytest.mark.parametrize(('change', 'sentence'), [
    (lambda s: s | {REG: s[REG][4:]}, f'{REG} is (320,), and {CLS}, (81,), asks for 324 rows'),
    (lambda s: s | {CONV: s[CONV][1:]},
     f'{CONV} is (80, 256, 1, 1), and bbox_head.fc_cls.weight, (81, 1024), asks for 81 rows'),
    (without('mask_head.upsample'), 'mask_head.upsample.bias is missing; mask_head.upsample.weight is missing'),
    (without('bbox_head.'), '; '.join(f'bbox_head.{key} is missing' for key in (
        'fc_cls.bias', 'fc_cls.weight', 'fc_reg.bias', 'fc_reg.weight')) + '; ...'),
    (lambda s: s | {'semantic_head.conv.weight': torch.zeros(1)},
     'semantic_head.conv.weight has no place in Faster R-CNN, Mask R-CNN or RetinaNet'),
    (without('backbone.'), 'the detector has no backbone: there is no key that begins with backbone.'),
    (lambda s: s | {f'module.{CLS}': s[CLS]},
     f'module.{CLS} and another key both become roi_head.{CLS}: these are keys of two networks'),
])  # fmt: skip
def test_refuses(checkpoints, change, sentence):
    with pytest.raises(ValueError, match=f'^{re.escape(sentence)}$'):
        upgrade(change(checkpoints['mask_rcnn_eca_r50_fpn'][1]))


def test_the_report_tells_what_became_of_rows(checkpoints):
    new, old = checkpoints['mask_rcnn_eca_r50_fpn']
    result = convert_state({f'module._orig_mod.{key}': tensor for key, tensor in old.items()})
    assert result.source == 'mmdet1' and result.keys.tensors.keys() == new.keys()
    for layer, rows in (
        ('bbox_head.fc_cls', '81 rows: background first -> last'),
        ('bbox_head.fc_reg', '324 -> 320 rows: background first -> none'),
        ('mask_head.conv_logits', '81 -> 80 rows: background first -> none'),
    ):
        assert f'  renamed    2  module._orig_mod.{layer}.* -> roi_head.{layer}.*  ({rows})\n' in str(result)
    assert str(result).count('rows') == 3
