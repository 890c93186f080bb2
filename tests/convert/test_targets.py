"""Our weights for other libraries: their network equals ours to 1e-10 in float64."""

import pytest
import timm
import torchvision  # noqa: F401

from eca_mm.models import AttentionResNet, ECAResNet
from tests.convert.networks import Classifier, Last, convert_state, difference, on_meta, randomized
from tests.reference.authors import AuthorsResNet

SE = 'eca_mm.SELayer'
SMALL_DENSENET = dict(growth_rate=8, depths=(2, 3, 1, 2), init_channels=16)
# Name: target, our network, its features (None for a backbone alone), the line that is printed.
NETWORKS = {
    'timm, eca': (
        'timm', dict(type='ECAResNet', depth=18), 512,
        "timm.create_model('resnet18', num_classes=1000, block_args=dict(attn_layer='eca'))",
    ),
    'timm, eca 3577': (
        'timm', dict(type='ECAResNet', depth=18, kernel_size=(3, 5, 7, 7)), 512,
        "timm.create_model('resnet18', num_classes=1000, block_args=dict(attn_layer=lambda c, **k: "
        'timm.layers.EcaModule(kernel_size={64: 3, 128: 5, 256: 7, 512: 7}[c], **k)))',
    ),
    'timm, eca d': (
        'timm', dict(type='ECAResNet', depth=18, deep_stem=True, avg_down=True), 512,
        "timm.create_model('resnet18', stem_type='deep', stem_width=32, avg_down=True, num_classes=1000, "
        "block_args=dict(attn_layer='eca'))",
    ),
    'timm, eca t': (
        'timm', dict(type='ECAResNet', depth=26, deep_stem='tiered', avg_down=True), 2048,
        "timm.create_model('resnet26', stem_type='deep_tiered', stem_width=32, avg_down=True, num_classes=1000, "
        "block_args=dict(attn_layer='eca'))",
    ),
    'timm, other blocks': (
        'timm', dict(type='ECAResNet', depth=10, stage_blocks=(1, 1, 1, 1)), 512,
        "timm.create_model('resnet18', layers=(1, 1, 1, 1), num_classes=1000, block_args=dict(attn_layer='eca'))",
    ),
    'timm, se': (
        'timm', dict(type='AttentionResNet', depth=18,
                     attention=[dict(type=SE, ratio=ratio, bias=True) for ratio in (8, 16, 16, 16)]), 512,
        "timm.create_model('resnet18', num_classes=1000, block_args=dict(attn_layer='se'))",
    ),
    'timm, se without biases': (
        'timm', dict(type='AttentionResNet', depth=18, attention=dict(type=SE)), 512,
        "timm.create_model('resnet18', num_classes=1000, block_args=dict(attn_layer=lambda c, **k: "
        'timm.layers.SEModule(c, rd_channels={64: 4, 128: 8, 256: 16, 512: 32}[c], bias=False, **k)))',
    ),
    'timm, plain': (
        'timm', dict(type='AttentionResNet', depth=18, in_channels=3), 512, "timm.create_model('resnet18', num_classes=1000)",
    ),
    'timm, plain without classifier': (
        'timm', dict(type='AttentionResNet', depth=18), None, "timm.create_model('resnet18', num_classes=0)",
    ),
    'torchvision resnet18': (
        'torchvision', dict(type='AttentionResNet', depth=18), 512, 'torchvision.models.resnet18(num_classes=1000)',
    ),
    'torchvision mobilenet_v2': (
        'torchvision', dict(type='AttentionMobileNetV2'), 1280,
        'torchvision.models.mobilenet_v2(width_mult=1.0, num_classes=1000)',
    ),
    'torchvision resnext50': (
        'torchvision', dict(type='AttentionResNeXt', depth=50), 2048,
        'torchvision.models.resnet50(groups=32, width_per_group=4, num_classes=1000)',
    ),
    'timm, ResNeXt with SE': (
        'timm', dict(type='AttentionResNeXt', depth=50, groups=16, attention=dict(type=SE, bias=True)), 2048,
        "timm.create_model('resnet50', cardinality=16, base_width=4, num_classes=1000, block_args=dict(attn_layer='se'))",
    ),
    'torchvision DenseNet': (
        'torchvision', dict(type='AttentionDenseNet', arch=SMALL_DENSENET, bn_size=2), 30,
        'torchvision.models.DenseNet(growth_rate=8, block_config=(2, 3, 1, 2), num_init_features=16, bn_size=2, '
        'num_classes=1000)',
    ),
    'timm, DenseNet': (
        'timm', dict(type='AttentionDenseNet', arch=SMALL_DENSENET, bn_size=2), 30,
        "timm.create_model('densenet121', growth_rate=8, block_config=(2, 3, 1, 2), bn_size=2, num_classes=1000)",
    ),
    'torchvision Inception': (
        'torchvision', dict(type='AttentionInceptionV3', num_classes=7), None,
        'torchvision.models.inception_v3(num_classes=7, aux_logits=False, init_weights=False)',
    ),
    'timm, Inception': (
        'timm', dict(type='AttentionInceptionV3'), None,
        "timm.create_model('inception_v3', num_classes=1000, aux_logits=False)",
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', NETWORKS)
def test_equals_the_target(name):
    target, backbone, channels, line = NETWORKS[name]
    model = randomized(Classifier(backbone, channels))
    result = convert_state(model.state_dict(), to=target)
    assert (result.source, result.target, result.code) == ('mmpretrain', target, line)
    theirs = eval(line)
    theirs.load_state_dict(result.keys.tensors, strict=True)
    pooled = channels is None and 'Inception' not in backbone['type']
    assert difference(Last(model, pooled=True) if pooled else model, theirs) < 1e-10


@pytest.mark.parametrize(('build', 'line'), [
    (lambda: timm.create_model('resnet18', in_chans=1), "'resnet18', in_chans=1, num_classes=1000"),
    # Not 'se': timm has at least 8 hidden channels, and 64 / 16 are 4.
    (lambda: AttentionResNet(18, dict(type=SE, bias=True)), "'resnet18', num_classes=0, block_args=dict(attn_layer=lambda c, "
     '**k: timm.layers.SEModule(c, rd_channels={64: 4, 128: 8, 256: 16, 512: 32}[c], bias=True, **k))'),
    (lambda: ECAResNet(50, (3, 5, 5, 7)), "'resnet50', num_classes=0, block_args=dict(attn_layer=lambda c, **k: "
     'timm.layers.EcaModule(kernel_size={256: 3, 512: 5, 1024: 5, 2048: 7}[c], **k))'),
])  # fmt: skip
def test_lines(build, line):
    state = build().state_dict()
    assert convert_state(state, to='timm').code == f'timm.create_model({line})'
    theirs = on_meta(lambda: eval(f'timm.create_model({line})'))
    converted = convert_state(state, to='timm').keys.tensors
    assert {key: value.shape for key, value in theirs.items()} == {key: value.shape for key, value in converted.items()}


@pytest.mark.parametrize('line', [
    'torchvision.models.resnet101(groups=32, width_per_group=8, num_classes=1000)',
    'torchvision.models.resnet101(groups=64, width_per_group=4, num_classes=1000)',
    'torchvision.models.resnet152(groups=32, width_per_group=4, num_classes=1000)',
    "timm.create_model('resnet50', layers=(1, 1, 11, 3), avg_down=True, num_classes=1000, block_args=dict(attn_layer='eca'))",
    "timm.create_model('resnet50', layers=(3, 30, 48, 8), stem_type='deep', stem_width=32, avg_down=True, num_classes=1000, "
    "block_args=dict(attn_layer='eca'))",
    "timm.create_model('resnet200', num_classes=0)",
    'torchvision.models.densenet169(num_classes=1000)',
    'torchvision.models.inception_v3(num_classes=9, aux_logits=True, init_weights=False)',
    "timm.create_model('resnet101', cardinality=32, base_width=16, num_classes=1000)",
    "timm.create_model('densenet161', in_chans=1, num_classes=1000)",
    "timm.create_model('densenet121', growth_rate=32, block_config=(6, 12, 64, 48), bn_size=4, num_classes=0)",
    "timm.create_model('resnet50', cardinality=32, base_width=4, stem_type='deep', stem_width=32, avg_down=True, "
    "num_classes=1000, block_args=dict(attn_layer='se'))",
])  # fmt: skip
def test_comes_and_goes(line):
    """There and back every tensor has its name and its place, and is the same."""
    library = line.split('.')[0]
    theirs = on_meta(lambda: eval(line))
    back = convert_state(convert_state(theirs, source=library).keys.tensors, to=library)
    assert back.code == line and list(back.keys.tensors) == list(theirs)
    assert all(back.keys.tensors[key].shape == value.shape for key, value in theirs.items())


def test_bare_backbone():
    result = convert_state(on_meta(AuthorsResNet, (2, 2, 2, 2), 1, (3, 5, 7, 7)), to='backbone')
    assert result.keys.dropped == dict.fromkeys(('fc.weight', 'fc.bias'), 'a backbone has no classifier')
    assert result.code == "backbone=dict(type='eca_mm.ECAResNet', depth=18, kernel_size=(3, 5, 7, 7))"
