"""Weights that are not converted: each with one sentence."""

import re

import pytest
import timm
import torch
import torchvision

from eca_mm.convert import convert_checkpoint
from eca_mm.errors import UserError
from eca_mm.models import AttentionDenseNet, AttentionInceptionV3, AttentionPreActResNet, AttentionResNet
from tests.convert.networks import convert_state, empty, on_meta, small
from tests.reference.authors import AuthorsMobileNetV2, AuthorsResNet

VGG = {f'{part}.{i}.weight': torch.ones(2) for part in ('features', 'classifier') for i in range(9)}


def changed(**changes):
    """ECA-ResNet-18 of the authors without values, some weights changed: a function of the old one, or None to drop it."""
    state = on_meta(AuthorsResNet, (2, 2, 2, 2), 1, (3, 5, 7, 7), classes=5)
    for key, change in changes.items():
        key = key.replace('__', '.')
        state[key] = change(state.get(key))
        if state[key] is None:
            del state[key]
    return state


def of_timm(name, **kwargs):
    return lambda: on_meta(lambda: timm.create_model(name, **kwargs))


# The weights, the options, and what the sentence says.
WRONG = {
    'vgg': (
        lambda: VGG, {},
        'not the weights of a DenseNet, InceptionV3, MobileNetV2, ResNet, ResNeXt or PreActResNet as mmdet, mmpretrain, ',
    ),
    'blocks to torchvision': (
        of_timm('resnet26'), dict(to='torchvision'), 'torchvision has no ResNet with depth=26',
    ),
    'preact resnet': (of_timm('resnetv2_50'), {}, 'these are not the weights of a DenseNet, '),
    'preact resnet to timm': (
        lambda: empty(AttentionPreActResNet, 50), dict(to='timm'),
        'PreActResNet is not converted to timm, only to mmpretrain, backbone',
    ),
    'densenet with a deep stem': (
        of_timm('densenetblur121d'), {}, 'a stem that begins with a convolution of 3x3, where a DenseNet has one of 7x7',
    ),
    'densenet with attention': (
        lambda: empty(AttentionDenseNet, '121', dict(type='ECALayer')), dict(to='timm'),
        'timm has no DenseNet with ECALayer, only plain ones',
    ),
    'densenet with a stem of its own': (
        lambda: empty(AttentionDenseNet, dict(growth_rate=8, depths=(1, 1, 1, 1), init_channels=12)), dict(to='timm'),
        'timm has no DenseNet with init_channels=12',
    ),
    'densenet without a classifier': (
        lambda: empty(AttentionDenseNet), dict(to='torchvision'), 'torchvision has no network without one',
    ),
    'five dense blocks': (
        lambda: empty(AttentionDenseNet, dict(growth_rate=8, depths=(1,) * 5, init_channels=16)), {},
        '5 dense blocks, where a DenseNet has 4',
    ),
    'inception without a classifier': (of_timm('inception_v3', num_classes=0), {}, '2 missing: backbone.fc.weight, '),
    'half an inception': (
        lambda: {k: v for k, v in empty(AttentionInceptionV3).items() if 'Mixed_6c' not in k}, {},
        'stages of (3, 4, 3) modules are no Inception-v3, which has (3, 5, 3)',
    ),
    'inception with attention': (
        lambda: empty(AttentionInceptionV3, dict(type='ECALayer')), dict(to='torchvision'),
        'torchvision has no InceptionV3 with ECALayer, only plain ones',
    ),
    'wide': (
        lambda: on_meta(torchvision.models.wide_resnet50_2), {},
        'blocks of 128 channels in stage 1, where a ResNet has 64: it is pruned, or wide',
    ),
    'pruned': (of_timm('ecaresnet50d_pruned'), {}, "pruned, or wide; mmpretrain's TIMMBackbone builds such networks of timm"),
    'another stem': (
        lambda: changed() | {f'conv1.{i}.weight': torch.ones(n, 3, 3, 3) for i, n in ((0, 16), (3, 20), (6, 64))}, {},
        'a stem of 16, 20 and 64 channels, where ResNet-D has 32, 32 and 64, and a tiered one 24, 32 and 64',
    ),
    'mixed prefix': (
        lambda: changed() | {f'module.{k}': v for k, v in changed().items()}, {},
        'both become backbone.conv1.weight: these are keys of two networks',
    ),
    'depth': (
        lambda: {key.replace('layer4.0', 'layer4.2'): value for key, value in changed().items()}, {},
        '16 missing: backbone.layer4.0.conv1.weight, ',
    ),
    'blocks': (
        lambda: {k: v for k, v in changed().items() if 'layer3.' not in k}, {}, 'stages of (2, 2, 2) blocks with 2 conv',
    ),
    'missing': (lambda: changed(layer1__0__bn2__bias=lambda _: None), {}, '1 missing: backbone.layer1.0.bn2.bias'),
    'missing attention': (
        lambda: changed(layer1__1__eca__conv__weight=lambda _: None), {},
        "the blocks of layer1 differ in their attention, dict(type='eca_mm.ECALayer', kernel_size=3) and None",
    ),
    'extra': (
        lambda: changed(layer1__0__conv9__weight=lambda _: torch.ones(1)), {}, '1 without a place: backbone.layer1.0.conv9',
    ),
    'classifier': (
        lambda: changed(fc__weight=lambda w: w[:, 1:]), {}, 'head.fc.weight is (5, 511) in the file and (5, 512) here',
    ),
    'even kernel size': (
        lambda: changed(**{f'layer4__{i}__eca__conv__weight': lambda _: torch.ones(1, 1, 4) for i in (0, 1)}), {},
        'kernel_size must be a positive odd integer',
    ),
    'source': (
        changed, dict(source='mmpretrain'), ' as mmpretrain names them: 130 keys, ',
    ),
    'eca to torchvision': (changed, dict(to='torchvision'), 'torchvision has no ResNet with ECALayer, only plain ones'),
    'deep stem to torchvision': (
        of_timm('resnet18d'), dict(to='torchvision'), 'torchvision has no ResNet with deep_stem=True, avg_down=True',
    ),
    'backbone to torchvision': (
        lambda: AttentionResNet(18).state_dict(), dict(to='torchvision'), 'torchvision has no network without one',
    ),
    'mobilenet to timm': (
        lambda: on_meta(AuthorsMobileNetV2), dict(to='timm'),
        'MobileNetV2 is not converted to timm, only to mmpretrain, backbone, torchvision',
    ),
    'detector to timm': (
        lambda: {f'backbone.{k}': v for k, v in AttentionResNet(18).state_dict().items()} | {'rpn_head.x': torch.ones(1)},
        dict(to='timm'), 'it is a detector, and timm has none like it: `to="backbone"` takes its backbone alone',
    ),
    'eca-ns to timm': (
        lambda: AttentionResNet(18, dict(type='ECANSLayer')).state_dict(), dict(to='timm'),
        'timm has ECA or SE in all stages of a ResNet, and this one has eca_mm.ECANSLayer',
    ),
    'attention in some stages to timm': (
        lambda: AttentionResNet(18, (None, None, dict(type='SELayer'), None)).state_dict(), dict(to='timm'),
        'timm has ECA or SE in all stages of a ResNet, and this one has eca_mm.SELayer, none',
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', WRONG)
def test_wrong_networks(name):
    build, options, message = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        convert_state(build(), **options)


@pytest.mark.parametrize(('bias', 'message'), [
    (torch.full((5,), float('inf')), 'a.pth has NaN or infinity in 1 weights: classifier.1.bias'),
    (torch.ones(5, dtype=torch.int64), 'has classifier.1.bias in torch.int64: weights must be f'),
    (5, 'a.pth cannot be converted: .*1 missing: head.fc.bias'),
])  # fmt: skip
def test_wrong_values(bias, message, tmp_path):
    torch.save(small() | {'classifier.1.bias': bias}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
    assert [f.name for f in tmp_path.iterdir()] == ['a.pth']


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    torch.save(small(), tmp_path / 'a.pth')
    monkeypatch.setattr('os.replace', lambda *_: (_ for _ in ()).throw(OSError(28, 'disk full')))
    with pytest.raises(ValueError, match='cannot be written .disk full'):
        convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
    assert [f.name for f in tmp_path.iterdir()] == ['a.pth']


@pytest.mark.parametrize('option', ['source', 'to'])
def test_unknown_formats(option, tmp_path):
    with pytest.raises(UserError, match=f"`{option}` must be one of .*timm.*, got 'caffe'"):
        convert_checkpoint('a.pth', tmp_path / 'b.pth', **{option: 'caffe'})
