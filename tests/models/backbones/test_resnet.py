"""Our ResNet against mmpretrain's, mmdet's and timm's, to the last bit or in double precision."""

import mmdet.models
import mmpretrain.models
import pytest
import timm
import torch
from timm.models.resnet import Bottleneck as TimmBottleneck
from timm.models.resnet import ResNet as TimmResNet

from eca_mm.checkpoints.weights import EmptyOnMeta
from eca_mm.models import AttentionResNet, AttentionResNeXt, ECAResNet
from tests.support import randomize

NARROW = dict(base_channels=8, stem_channels=8, out_indices=(0, 1, 2, 3))
OPTIONS = {
    'basic': dict(depth=18),
    'bottleneck': dict(depth=50),
    'deep': dict(depth=34, deep_stem=True, avg_down=True),
    'caffe': dict(depth=50, style='caffe', strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
    'three stages': dict(
        depth=18, num_stages=3, strides=(1, 2, 1), dilations=(1, 1, 2), out_indices=(0, 2), base_channels=16
    ),
    'group norm': dict(depth=50, norm_cfg=dict(type='GN', num_groups=4), in_channels=5),
    'checkpointed': dict(depth=18, with_cp=True),
    'norm': dict(depth=18, norm_cfg=dict(type='BN', eps=0.01, momentum=0.3, requires_grad=False), norm_eval=True),
    'convolution': dict(depth=18, conv_cfg=dict(type='ConvWS')),
    'frozen': dict(depth=50, frozen_stages=2, zero_init_residual=False, norm_eval=True),
}


def images(options, size=33, dtype=torch.float32):
    draw = torch.Generator().manual_seed(0)
    return torch.randn(2, options.get('in_channels', 3), size, size, dtype=dtype, generator=draw)


def run(model, x, train):
    """Features and gradients, with the same draws of stochastic depth."""
    model.train(train)
    torch.manual_seed(3)
    features = model(x.clone().requires_grad_())
    sum(f.square().mean() for f in features).backward()
    return features, {name: p.grad for name, p in model.named_parameters()}, dict(model.named_buffers())


def assert_same(ours, theirs, rename=lambda key: key, tolerance=0.0):
    (features, gradients, buffers), (expected, their_gradients, their_buffers) = ours, theirs
    assert all(map(torch.equal, features, expected)) and len(features) == len(expected)
    for own, others in ((gradients, their_gradients), (buffers, their_buffers)):
        others = {rename(key): value for key, value in others.items()}
        assert set(own) == set(others)
        assert all(v is others[k] is None or torch.allclose(v, others[k], tolerance, tolerance) for k, v in own.items())


@pytest.mark.parametrize('train', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('options', [*OPTIONS.values(), dict(depth=18, drop_path_rate=0.5), dict(
    depth=50, expansion=2, stem_channels=16)], ids=[*OPTIONS, 'drop path', 'expansion'])  # fmt: skip
def test_is_mmpretrains(options, train):
    """The same weights from the same seed too, drawn in the same order."""
    options = {**NARROW, **options}
    networks = []
    for kind in (mmpretrain.models.ResNet, AttentionResNet):
        torch.manual_seed(0)
        networks.append(kind(**options))
        if not options.get('deep_stem'):  # mmcv's ConvModule draws when it is built as well
            networks[-1].init_weights()
    theirs, ours = networks
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    if options.get('deep_stem'):
        ours.load_state_dict(theirs.state_dict())
    assert all(torch.equal(v, theirs.state_dict()[k]) for k, v in ours.state_dict().items())
    ours.load_state_dict(randomize(theirs).state_dict())
    # Reentrant checkpoints, as theirs, sum gradients in another order.
    tolerance = 1e-4 if options.get('with_cp') else 0.0
    assert_same(run(ours, images(options), train), run(theirs, images(options), train), tolerance=tolerance)
    assert [p.requires_grad for p in ours.parameters()] == [p.requires_grad for p in theirs.parameters()]
    modes = [[m.training for m in network.modules() if hasattr(m, 'num_features')] for network in networks]
    assert modes[0] == modes[1]


def of_mmdet(key):
    """Our name of a weight of mmdet's."""
    _, *rest = key.split('.')
    if key.startswith('stem.'):
        i, part = divmod(int(rest[0]), 3)
        return '.'.join(['stem', str(i), ('conv', 'bn')[part], *rest[1:]])
    return key.replace('layer1.0.downsample.1', 'layer1.0.downsample.0').replace(
        'layer1.0.downsample.2', 'layer1.0.downsample.1'
    )


CONTEXT = dict(type='ContextBlock', ratio=1 / 4)
PLUGINS = [
    dict(cfg=CONTEXT, stages=(False, True, True, False), position='after_conv2'),
    dict(cfg=dict(type='eca_mm.ECALayer'), position='after_conv3'),
    dict(cfg=dict(CONTEXT, postfix=2), position='after_conv3'),
    dict(cfg=dict(CONTEXT, postfix=1), stages=(True, False, False, False), position='after_conv1'),
]


@pytest.mark.parametrize('train', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('options', [*OPTIONS.values(), dict(depth=50, plugins=PLUGINS), dict(depth=18, stem_channels=None)],
    ids=[*OPTIONS, 'plugins', 'stem'])  # fmt: skip
def test_is_mmdets(options, train):
    options = {'norm_eval': True, **NARROW, **options}
    theirs, ours = randomize(mmdet.models.ResNet(**options)), AttentionResNet(**options)
    tolerance = 1e-4 if options.get('with_cp') else 0.0
    rename = of_mmdet if options.get('avg_down') else lambda key: key
    ours.load_state_dict({rename(key): value for key, value in theirs.state_dict().items()})
    assert_same(run(ours, images(options), train), run(theirs, images(options), train), rename, tolerance)


def test_deformable_convolutions_are_mmdets():
    options = dict(
        depth=50, **NARROW, norm_eval=True, dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, False, True),
    )  # fmt: skip
    with EmptyOnMeta():
        theirs, ours = mmdet.models.ResNet(**options), AttentionResNet(**options)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, v.shape) for k, v in theirs.state_dict().items()
    ]
    assert type(ours.layer2[0].conv2) is type(theirs.layer2[0].conv2) is not type(ours.layer1[0].conv2)
    assert (ours.layer2[0].conv2.stride, ours.layer4[1].conv2.padding) == ((2, 2), (1, 1))


def test_a_pretrained_file_by_mmdets_older_name():
    assert AttentionResNet(18, pretrained='a.pth').init_cfg == dict(type='Pretrained', checkpoint='a.pth')


TIMM = {
    'ecaresnet26t': dict(depth=26, deep_stem='tiered', avg_down=True),
    'ecaresnet50d': dict(depth=50, deep_stem=True, avg_down=True),
    'ecaresnet50t': dict(depth=50, deep_stem='tiered', avg_down=True),
    'ecaresnetlight': dict(depth=50, stage_blocks=(1, 1, 11, 3), avg_down=True),
    'ecaresnet101d': dict(depth=101, deep_stem=True, avg_down=True),
    'ecaresnet200d': dict(depth=200, deep_stem=True, avg_down=True),
    'ecaresnet269d': dict(depth=269, deep_stem=True, avg_down=True),
    'ecaresnext26t_32x4d': dict(depth=26, deep_stem='tiered', avg_down=True),
    'ecaresnext50t_32x4d': dict(depth=50, deep_stem='tiered', avg_down=True),
}


def of_timm(key):
    """Our name of a weight of timm's."""
    if key.startswith('conv1.') and key.count('.') > 1:
        _, i, rest = key.split('.', 2)
        return f'stem.{int(i) // 3}.{"conv" if int(i) % 3 == 0 else "bn"}.{rest}'
    key = key.replace('layer1.0.downsample.1', 'layer1.0.downsample.0').replace(
        'layer1.0.downsample.2', 'layer1.0.downsample.1'
    )
    return key.replace('.se.', '.eca.')


@pytest.mark.parametrize('name', TIMM)
def test_is_timms(name):
    """With every network of timm by its own name and ours, all of whose weights have the same shapes; a few blocks compute."""
    assert {n for n in timm.list_models('ecaresne*') if not n.endswith('_pruned')} == {*TIMM}
    options, kind = TIMM[name], AttentionResNeXt if 'next' in name else AttentionResNet
    deep = options.get('deep_stem', False)

    def rename(key):
        key = of_timm(key)
        return key.replace('bn1.', 'stem.2.bn.') if deep and key.startswith('bn1.') else key

    with torch.device('meta'), EmptyOnMeta():
        theirs = timm.create_model(name, num_classes=0, global_pool='')
        ours = kind(**options, attention=dict(type='ECALayer'))
    shapes = {rename(key): value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes

    counts = tuple(min(n, 2) for n in ours.stage_blocks)
    stem = 'deep_tiered' if deep == 'tiered' else 'deep' if deep else ''
    groups = dict(cardinality=32, base_width=4) if 'next' in name else {}
    theirs = TimmResNet(
        TimmBottleneck, counts, num_classes=0, global_pool='', stem_width=32, stem_type=stem, avg_down=True,
        block_args=dict(attn_layer='eca'), **groups,
    )  # fmt: skip
    randomize(theirs.double()).eval()
    options = {**options, 'depth': 2 + 3 * sum(counts), 'stage_blocks': counts}
    small = kind(**options, attention=dict(type='ECALayer'))
    small.double().eval().load_state_dict({rename(key): value for key, value in theirs.state_dict().items()})
    x = images({}, 40, torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(small(x)[0], theirs(x), rtol=1e-10, atol=1e-10)


def test_any_number_of_blocks():
    model = ECAResNet(
        2 + 3 * 6, stage_blocks=(1, 3, 2), num_stages=3, strides=(1, 2, 2), dilations=(1,) * 3, out_indices=(2,)
    )
    assert [len(getattr(model, name)) for name in model.res_layers] == [1, 3, 2] and model.feat_dim == 1024
    assert len(AttentionResNet(12, stage_blocks=[1, 1, 2, 1]).layer3) == 2  # basic blocks


@pytest.mark.parametrize('depth', [50, 101, 152, 200, 269])
def test_layers_of_the_decay_are_mmpretrains(depth):
    names = [f'backbone.{n}.conv1.weight' for n in ('stem', 'layer1.0', 'layer2.3', 'layer3.22', 'layer4.1')]
    with EmptyOnMeta():
        ours, theirs = AttentionResNet(depth), mmpretrain.models.ResNet(50)
    theirs.stage_blocks = ours.stage_blocks
    for name in (*names, 'head.fc.weight'):
        assert ours.get_layer_depth(name, 'backbone.') == theirs.get_layer_depth(name, 'backbone.')


@pytest.mark.parametrize(('options', 'sentence'), [
    (dict(depth=51, stage_blocks=(3, 4, 6, 3)), 'stage_blocks.*depth=34 with BasicBlock or 50 with Bottleneck, got 51'),
    (dict(stage_blocks=(2, 0, 2, 2)), r'stage_blocks must be positive integers.*\(2, 0, 2, 2\)'),
    (dict(deep_stem='wide'), "deep_stem.*'wide'"), (dict(style='tensorflow'), "style.*'tensorflow'"),
    (dict(fused='triton'), "fused.*'triton': the Triton kernels are gone"), (dict(fused=3), 'fused.*got 3'),
    (dict(plugins=PLUGINS), 'plugins need .*BasicBlock'),
    (dict(depth=50, plugins=[dict(cfg=CONTEXT, position='before')]), "position.*'before'"),
    (dict(depth=50, plugins=[dict(cfg=CONTEXT, position='after_conv3')] * 2), "two layers 'context_block'"),
    (dict(depth=50, dcn=dict(type='DCN', fallback_on_stride=True), stage_with_dcn=(True,) * 4), 'fallback_on_stride'),
])  # fmt: skip
def test_refuses(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        AttentionResNet(**{'depth': 18, **options})
