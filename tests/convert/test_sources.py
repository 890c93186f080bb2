"""Weights of other libraries: the converted network equals theirs to 1e-10 in float64."""

import re
from types import SimpleNamespace

import pytest
import timm
import torch
import torchvision

from eca_mm.checkpoints.download import _CATALOGUES
from eca_mm.checkpoints.keys import find_layout
from eca_mm.convert import convert_checkpoint
from eca_mm.models import (
    AttentionDenseNet,
    AttentionInceptionV3,
    AttentionPreActResNet,
    AttentionResNet,
    ECAMobileNetV2,
)
from tests.convert.networks import (
    Classifier,
    Detector,
    Last,
    convert_state,
    difference,
    eca_plugins,
    empty,
    on_meta,
    our_file,
    ours,
    randomized,
)  # fmt: skip
from tests.reference.authors import AuthorsMobileNetV2, AuthorsResNet, as_the_authors_save


def of_timm(name, **kwargs):
    return lambda: timm.create_model(name, **kwargs)


def of_torchvision(name, **kwargs):
    return lambda: getattr(torchvision.models, name)(**kwargs)


def of_mmpretrain(channels, **backbone):
    return lambda: Classifier(backbone, channels)


MIXED = (None, dict(type='SELayer'), dict(type='ECANSLayer', kernel_size=3), dict(type='SEGCLayer', groups=4))
ECA5, ECA7 = (f"dict(type='eca_mm.ECALayer', kernel_size={k})" for k in (5, 7))
SE8, SE16 = (f"dict(type='eca_mm.SELayer', ratio={ratio}, bias=True)" for ratio in (8, 16))
# Library and network: how to build it, the line of a config that is printed.
NETWORKS = {
    'authors eca_resnet18': (
        lambda: AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7)), "ECAResNet', depth=18, kernel_size=(3, 5, 7, 7)",
    ),
    'authors eca_resnet50': (
        lambda: AuthorsResNet((3, 4, 6, 3), 4, (3, 5, 5, 7)), "ECAResNet', depth=50, kernel_size=(3, 5, 5, 7)",
    ),
    'authors eca_mobilenetv2': (AuthorsMobileNetV2, "ECAMobileNetV2', kernel_size=(1, 1, 1, 1, 3, 3, 3)"),
    'timm resnet18': (of_timm('resnet18'), "AttentionResNet', depth=18"),
    'timm resnet18, eca': (
        of_timm('resnet18', block_args=dict(attn_layer='eca')), "ECAResNet', depth=18, kernel_size=(3, 5, 5, 5)",
    ),
    'timm ecaresnet50d': (
        of_timm('ecaresnet50d'), "ECAResNet', depth=50, deep_stem=True, avg_down=True, kernel_size=(5, 5, 5, 7)",
    ),
    'timm ecaresnet26t': (
        of_timm('ecaresnet26t'), "ECAResNet', depth=26, deep_stem='tiered', avg_down=True, kernel_size=(5, 5, 5, 7)",
    ),
    'timm ecaresnetlight': (
        of_timm('ecaresnetlight'),
        "ECAResNet', depth=50, stage_blocks=(1, 1, 11, 3), avg_down=True, kernel_size=(5, 5, 5, 7)",
    ),
    'timm ecaresnext26t_32x4d': (
        of_timm('ecaresnext26t_32x4d'),
        f"AttentionResNeXt', depth=26, deep_stem='tiered', avg_down=True, attention=({', '.join([ECA5] * 3)}, {ECA7})",
    ),
    'timm resnet18d': (
        of_timm('resnet18d', num_classes=7), "AttentionResNet', depth=18, deep_stem=True, avg_down=True",
    ),
    'timm resnet18, wide stem': (
        of_timm('resnet18', stem_type='deep', stem_width=64),
        "AttentionResNet', depth=18, deep_stem=True, stem_channels=128",
    ),
    'timm seresnet18': (
        of_timm('seresnet18'), f"AttentionResNet', depth=18, attention=({SE8}, {SE16}, {SE16}, {SE16})",
    ),
    'torchvision resnet50': (of_torchvision('resnet50', num_classes=10), "AttentionResNet', depth=50"),
    'torchvision mobilenet_v2, 1.4': (
        of_torchvision('mobilenet_v2', width_mult=1.4), "AttentionMobileNetV2', widen_factor=1.4",
    ),
    'mmpretrain ResNetV1d-18': (
        of_mmpretrain(512, type='ResNetV1d', depth=18), "AttentionResNet', depth=18, deep_stem=True, avg_down=True",
    ),
    'mmpretrain SEResNet-50': (
        of_mmpretrain(2048, type='SEResNet', depth=50), f"AttentionResNet', depth=50, attention={SE16}",
    ),
    'mmpretrain MobileNetV2': (of_mmpretrain(1280, type='MobileNetV2'), "AttentionMobileNetV2'"),
    'mmpretrain AttentionResNet-18': (
        of_mmpretrain(512, type='AttentionResNet', depth=18, attention=MIXED),
        "AttentionResNet', depth=18, attention=(None, dict(type='eca_mm.SELayer', ratio=16), "
        "dict(type='eca_mm.ECANSLayer', kernel_size=3), dict(type='eca_mm.SEGCLayer', groups=4))",
    ),
    'mmdet ResNet-50, eca': (
        lambda: Detector(depth=50, plugins=eca_plugins(3, 3, 3, 3)), "ECAResNet', depth=50, kernel_size=(3, 3, 3, 3)",
    ),
    'mmdet ResNetV1d-18': (
        lambda: Detector(depth=18, deep_stem=True, avg_down=True),
        "AttentionResNet', depth=18, deep_stem=True, avg_down=True",
    ),
    'torchvision resnext50_32x4d': (of_torchvision('resnext50_32x4d', num_classes=7), "AttentionResNeXt', depth=50"),
    'mmpretrain SEResNeXt-50': (
        of_mmpretrain(2048, type='SEResNeXt', depth=50, groups=16, width_per_group=8),
        f"AttentionResNeXt', depth=50, groups=16, width_per_group=8, attention={SE16}",
    ),
    'torchvision DenseNet': (
        lambda: torchvision.models.DenseNet(8, (2, 3, 1, 2), 12, bn_size=2, num_classes=7),
        "AttentionDenseNet', arch=dict(growth_rate=8, depths=(2, 3, 1, 2), init_channels=12), bn_size=2",
    ),
    'timm DenseNet': (
        of_timm('densenet121', growth_rate=8, block_config=(2, 3, 1, 2)),
        "AttentionDenseNet', arch=dict(growth_rate=8, depths=(2, 3, 1, 2), init_channels=16)",
    ),
    'mmpretrain DenseNet': (
        of_mmpretrain(30, type='DenseNet', arch=dict(growth_rate=8, depths=[2, 3, 1, 2], init_channels=16)),
        "AttentionDenseNet', arch=dict(growth_rate=8, depths=(2, 3, 1, 2), init_channels=16)",
    ),
    'torchvision inception_v3': (
        of_torchvision('inception_v3', num_classes=7, init_weights=False),
        "AttentionInceptionV3', num_classes=7, aux_logits=True",
    ),
    'timm inception_v3': (of_timm('inception_v3'), "AttentionInceptionV3'"),
    'mmpretrain InceptionV3': (of_mmpretrain(None, type='InceptionV3'), "AttentionInceptionV3'"),
    'mmpretrain AttentionPreActResNet-50': (
        of_mmpretrain(2048, type='AttentionPreActResNet', depth=50, attention=dict(type='ECALayer')),
        "AttentionPreActResNet', depth=50, attention=(dict(type='eca_mm.ECALayer', kernel_size=5), "
        "dict(type='eca_mm.ECALayer', kernel_size=5), dict(type='eca_mm.ECALayer', kernel_size=5), "
        "dict(type='eca_mm.ECALayer', kernel_size=7))",
    ),
    'mmdet ResNeXt-50': (
        lambda: Detector(type='mmdet.ResNeXt', depth=50, groups=64, base_width=4), "AttentionResNeXt', depth=50, groups=64",
    ),
    'backbone ECAMobileNetV2': (
        lambda: Last(ECAMobileNetV2(kernel_size=3)), "ECAMobileNetV2', kernel_size=(3, 3, 3, 3, 3, 3, 3)",
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', NETWORKS)
def test_equals_the_source(name):
    build, line = NETWORKS[name]
    theirs = randomized(build())
    torchvisions = ('timm resnet18', 'timm DenseNet', 'timm inception_v3')  # whose keys are torchvision's
    source = 'timm' if name in torchvisions else None
    to = 'mmpretrain' if name.startswith('mmdet') else None  # of a detector it is to be named what its backbone becomes
    result = convert_state(theirs.state_dict(), source=source, to=to)
    assert (result.source, result.code) == (name.split()[0], f"backbone=dict(type='eca_mm.{line})")
    assert difference(theirs, ours(result.code, result.keys.tensors)) < 1e-10


def test_the_authors_files(tmp_path):
    """As their training wrote them in 2019: other entries beside the weights, module. before the keys, the old format."""
    theirs = randomized(AuthorsMobileNetV2(classes=5, width=0.25))
    torch.save(as_the_authors_save(theirs), tmp_path / 'a.pth.tar', _use_new_zipfile_serialization=False)
    result = convert_checkpoint(str(tmp_path / 'a.pth.tar'), tmp_path / 'b.pth')
    assert set(result.keys.dropped) == {'epoch', 'arch', 'best_prec1', 'optimizer'}
    assert difference(theirs, our_file(tmp_path / 'b.pth')) < 1e-10


@pytest.mark.parametrize(('build', 'line'), [
    (lambda: AuthorsResNet((3, 4, 6, 3), 1, (3, 3, 5, 7)), "ECAResNet', depth=34, kernel_size=(3, 3, 5, 7)"),
    (lambda: AuthorsResNet((3, 4, 23, 3), 4, (3, 3, 5, 7)), "ECAResNet', depth=101, kernel_size=(3, 3, 5, 7)"),
    (lambda: AuthorsResNet((3, 8, 36, 3), 4, (3, 3, 5, 7)), "ECAResNet', depth=152, kernel_size=(3, 3, 5, 7)"),
    (of_timm('resnet50', block_args=dict(attn_layer='eca')), "ECAResNet', depth=50, kernel_size=(5, 5, 5, 7)"),
    (of_timm('ecaresnet50t'), "ECAResNet', depth=50, deep_stem='tiered', avg_down=True, kernel_size=(5, 5, 5, 7)"),
    (of_timm('ecaresnet200d'), "ECAResNet', depth=200, deep_stem=True, avg_down=True, kernel_size=(5, 5, 5, 7)"),
    (of_timm('ecaresnet269d'), "ECAResNet', depth=269, deep_stem=True, avg_down=True, kernel_size=(5, 5, 5, 7)"),
    (of_timm('resnet14t'), "AttentionResNet', depth=14, stage_blocks=(1, 1, 1, 1), deep_stem='tiered', avg_down=True"),
    (of_timm('seresnet50'), f"AttentionResNet', depth=50, attention={SE16}"),
    (of_timm('resnet18', in_chans=1), "AttentionResNet', depth=18, in_channels=1"),
    (of_timm('resnext50d_32x4d'), "AttentionResNeXt', depth=50, deep_stem=True, avg_down=True"),
    (of_timm('seresnext101_64x4d'), f"AttentionResNeXt', depth=101, groups=64, attention={SE16}"),
    (of_timm('resnext50_32x4d', block_args=dict(attn_layer='eca')),
     f"AttentionResNeXt', depth=50, attention=({', '.join([ECA5] * 3)}, {ECA7})"),
    (of_torchvision('resnext101_32x8d'), "AttentionResNeXt', depth=101, width_per_group=8"),
    (of_torchvision('densenet161'), "AttentionDenseNet', arch='161'"),
    (of_timm('densenet201', in_chans=1), "AttentionDenseNet', arch='201', in_channels=1"),
])  # fmt: skip
def test_infers(build, line):
    assert convert_state(on_meta(build)).code == f"backbone=dict(type='eca_mm.{line})"


@pytest.mark.parametrize(('build', 'line'), [
    (lambda: AttentionDenseNet('264', [None, dict(type='SELayer', ratio=8), None, None]),
     "AttentionDenseNet', arch='264', attention=(None, dict(type='eca_mm.SELayer', ratio=8), None, None)"),
    (lambda: AttentionInceptionV3(dict(type='ECALayer', kernel_size=5)), f"AttentionInceptionV3', attention={ECA5}"),
    (lambda: AttentionPreActResNet(200, avg_down=True), "AttentionPreActResNet', depth=200, avg_down=True"),
    (lambda: AttentionInceptionV3(dict(type='ECALayer')),
     f"AttentionInceptionV3', attention=({ECA5}, {ECA5}, dict(type='eca_mm.ECALayer'))"),
])  # fmt: skip
def test_infers_ours(build, line):
    assert convert_state(empty(build)).code == f"backbone=dict(type='eca_mm.{line})"


def test_the_files_that_torchvision_publishes():
    """Its DenseNets are from before its names of today, which its own loader makes of them."""
    theirs = randomized(torchvision.models.DenseNet(8, (2, 3, 1, 2), 16, num_classes=7))
    state = {
        re.sub(r'(norm|conv)(\d\.\w+)$', r'\1.\2', key) if 'denselayer' in key else key: value
        for key, value in theirs.state_dict().items()
        if not key.endswith('num_batches_tracked')
    }
    published = SimpleNamespace(get_state_dict=lambda **_: dict(state))
    torchvision.models.densenet._load_state_dict(
        torchvision.models.DenseNet(8, (2, 3, 1, 2), 16, num_classes=7), published, False
    )
    old, new = (convert_state(weights).keys.tensors for weights in (state, theirs.state_dict()))
    assert set(old) == {key for key in new if not key.endswith('num_batches_tracked')}
    assert all(value.equal(new[key]) for key, value in old.items())


@pytest.mark.parametrize('name', ['resnext50_32x4d', 'densenet121', 'inception_v3_google'])
def test_names_for_pretrained_weights(name):
    assert name in _CATALOGUES['torchvision']()


def test_bare_backbones_are_told_from_timm():
    keys = [key for key in on_meta(of_torchvision('resnet18')) if not key.startswith('fc.')]
    assert (find_layout(keys).source, find_layout(keys, 'timm').source) == ('backbone', 'timm')


def test_a_detector_gives_its_backbone():
    with pytest.raises(
        ValueError, match='it is a detector of mmdet 3 already, .* `to="backbone"` or `to="mmpretrain"`'
    ):
        convert_state(Detector(depth=18).state_dict())
    result = convert_state(Detector(depth=18).state_dict(), to='backbone')
    assert result.keys.dropped['neck.weight'] == 'belongs to the detector, not to its backbone'
    AttentionResNet(18).load_state_dict(result.keys.tensors, strict=True)
