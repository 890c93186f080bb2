"""The layers of other papers against timm, and against transcriptions in double precision."""

import pytest
import timm.layers
import torch
from mmcv.cnn.bricks import build_plugin_layer
from timm.layers.cbam import CbamModule, SpatialAttn
from timm.layers.coord_attn import CoordAttn
from torch import nn

from eca_mm.models import (
    AAConv2d,
    AttentionMobileNetV2,
    AttentionResNet,
    CBAMLayer,
    ChannelAttention,
    CoordinateAttentionLayer,
    DoubleAttentionLayer,
    ECASpatialLayer,
    GCLayer,
    GSoPLayer,
    SimAMLayer,
    SpatialAttentionLayer,
    ops,
)
from tests.reference import attention as reference
from tests.support import randomize

C = 32
EXACTLY = dict(rtol=0, atol=1e-11)
# What it is built with beside C, and its number of weights by its docstring.
LAYERS = {
    'CBAMLayer': (dict(ratio=8), 2 * C * C // 8 + 100),
    'SpatialAttentionLayer': (dict(kernel_size=5), 2 * 25 + 2),
    'ECASpatialLayer': ({}, 3 + 100),
    'DoubleAttentionLayer': ({}, 4 * C * C // 2 + 3 * C // 2 + C),
    'GSoPLayer': (dict(channels=8), 5 * C * 8 + C + 4 * 64 + 9 * 8),
    'AAConv2d': (
        dict(heads=2, size=4, value_ratio=0.25),
        9 * 24 * C + (C + 1) * 88 + 8 * 9 + 2 * 7 * 20,
    ),
    'GCLayer': (dict(ratio=8), 2 * C * C // 8 + 2 * C + 3 * 4 + 1),
    'CoordinateAttentionLayer': (dict(ratio=4), 3 * C * 8 + 2 * C + 3 * 8),
    'SimAMLayer': ({}, 0),
}
BUILD = {name: lambda name=name, o=options: build_plugin_layer(dict(type=f'eca_mm.{name}', **o), in_channels=C)[1]
         for name, (options, _) in LAYERS.items()}  # fmt: skip


def test_hidden_channels_of_gc():
    """C / r, though 392 * (1 / 49) is a little below 8."""
    assert GCLayer(392, 49).channel_add_conv[0].out_channels == 8


def features(*shape, seed=1):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=LAYERS)
def layer(request):
    return randomize(BUILD[request.param]().double()).eval()


def loaded(layer, theirs, names):
    """The layer with timm's weights; ``names`` are ours for theirs, by their beginnings."""
    state = theirs.state_dict()
    for old, new in names.items():
        state = {new + key.removeprefix(old) if key.startswith(old) else key: value for key, value in state.items()}
    shapes = {key: value.shape for key, value in layer.state_dict().items()}
    layer.double().load_state_dict({key: value.view(shapes[key]) for key, value in state.items()})
    return layer.eval()


SPATIAL = {'spatial.conv.conv': 'spatial.conv', 'spatial.conv.bn': 'spatial.norm'}
OF_TIMM = {
    'cbam': (lambda: CBAMLayer(C, 8), lambda: CbamModule(C, 1 / 8), {'channel.': '', **SPATIAL}),
    'spatial': (
        lambda: SpatialAttentionLayer(C, 5),
        lambda: SpatialAttn(5),
        {'conv.bn.': 'norm.', 'conv.conv.': 'conv.'},
    ),
    'gc': (
        lambda: GCLayer(C, 4),
        lambda: timm.layers.GlobalContext(C, fuse_add=True, fuse_scale=False, rd_ratio=1 / 4),
        {
            'conv_attn': 'conv_mask',
            'mlp_add.fc1': 'channel_add_conv.0',
            'mlp_add.norm': 'channel_add_conv.1',
            'mlp_add.fc2': 'channel_add_conv.3',
        },
    ),
    'coordinate': (lambda: CoordinateAttentionLayer(C, 4), lambda: CoordAttn(C, rd_channels=8, bias=True), {}),
}


@pytest.mark.parametrize(('ours', 'theirs', 'names'), OF_TIMM.values(), ids=OF_TIMM)
def test_equals_timm(ours, theirs, names):
    theirs = randomize(theirs().double()).eval()
    for norm in (m for m in theirs.modules() if isinstance(m, nn.LayerNorm)):
        norm.eps = 1e-5  # the GC block's authors have PyTorch's default, timm 1e-6
    x = features(2, C, 5, 7)
    torch.testing.assert_close(loaded(ours(), theirs, names)(x), theirs(x), **EXACTLY)


def test_eca_with_spatial_attention_is_timms_one_behind_the_other():
    theirs = nn.ModuleDict({'eca': timm.layers.EcaModule(C), 'spatial': SpatialAttn(7)})
    theirs = randomize(theirs.double()).eval()
    x = features(2, C, 5, 7)
    ours = loaded(ECASpatialLayer(C), theirs, SPATIAL)
    torch.testing.assert_close(ours(x), theirs['spatial'](theirs['eca'](x)), **EXACTLY)


@pytest.mark.parametrize(('name', 'transcribed'), [
    ('DoubleAttentionLayer', reference.double_attention), ('GSoPLayer', reference.gsop),
    ('SimAMLayer', lambda layer, x: reference.simam(x, layer.e_lambda)),
    ('AAConv2d', lambda layer, x: torch.cat((layer.conv(x[None])[0], reference.attention_augmentation(layer, x)))),
])  # fmt: skip
def test_equals_its_formula(name, transcribed):
    layer, x = randomize(BUILD[name]().double()).eval(), features(2, C, 3, 6)  # wider than the distances of AAConv2d
    expected = torch.stack([transcribed(layer, image) for image in x])
    torch.testing.assert_close(layer(x), expected, **EXACTLY)


def test_gsop_with_a_stride():
    layer, x = randomize(GSoPLayer(C, 8, stride=2).double()).eval(), features(1, C, 5, 4)
    torch.testing.assert_close(layer(x)[0], reference.gsop(layer, x[0]), **EXACTLY)


def test_attention_augmented_convolution_with_a_stride():
    layer, x = randomize(AAConv2d(16, 24, 3, 2, heads=2, size=3).double()), features(1, 16, 6, 5)
    expected = reference.attention_augmentation(layer, layer.pool(x)[0])
    torch.testing.assert_close(layer(x)[0, -2:], expected, **EXACTLY)
    assert layer(x).shape == (1, 24, 3, 3)
    # Its paper: at least 20 channels per head of the keys, 0.2 and 0.1 of the output's channels.
    assert [AAConv2d(c).sizes for c in (128, 256, 1024)] == [(160, 160, 8), (160, 160, 24), (200, 200, 96)]


def test_parameters(layer):
    name = type(layer).__name__
    assert sum(p.numel() for p in layer.parameters()) == LAYERS[name][1]


def test_gradients(layer):
    names, values = [n for n, _ in layer.named_parameters()], [*layer.parameters()]
    x = features(1, C, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, *ws: torch.func.functional_call(layer, dict(zip(names, ws, strict=True)), x)[:, ::5], (x, *values),
        fast_mode=True,
    )  # fmt: skip


def test_trains_and_keeps_the_format(layer):
    layer = layer.float().train()
    x = features(2, C, 4, 4).float().requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert y.shape == x.grad.shape and all(p.grad is not None for p in layer.parameters())
    last = layer.eval()(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, layer(x))
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(layer(x).float(), layer(x.float()).float(), rtol=0.05, atol=0.1)


@pytest.mark.parametrize('translate', [
    lambda layer, x: torch.export.export(layer, (x,)).module(),
    lambda layer, x: torch.compile(layer, fullgraph=True, backend='aot_eager'),
], ids=['export', 'compile'])  # fmt: skip
def test_translations(layer, translate):
    x = features(2, C, 4, 5)
    torch.testing.assert_close(translate(layer, x)(x), layer(x))
    torch.compiler.reset()


@pytest.mark.parametrize(('make', 'values', 'sentence'), [
    *((build, (0, 64.0, None), 'in_channels must be a positive integer, got VALUE')
      for build in (CBAMLayer, DoubleAttentionLayer, GSoPLayer, AAConv2d, GCLayer, CoordinateAttentionLayer,
                    ECASpatialLayer)),
    *((lambda r, build=build: build(64, r), (0, 5, 128), 'ratio must be .*64, got VALUE')
      for build in (CBAMLayer, DoubleAttentionLayer, GCLayer)),
    (lambda k: CBAMLayer(64, kernel_size=k), (4, 0), 'kernel_size must be a positive odd integer, got VALUE'),
    (lambda k: ECASpatialLayer(64, k), (4,), 'kernel_size must be a positive odd .*got VALUE'),
    (lambda d: GSoPLayer(64, d), (0,), 'channels must be a positive integer, got VALUE'),
    (lambda r: CoordinateAttentionLayer(64, r), (0, 0.5), 'ratio must be a positive integer, got VALUE'),
    (lambda e: SimAMLayer(64, e), (0, -1.0), 'e_lambda must be positive, got VALUE'),
    (AAConv2d, (16, 72), 'value_ratio=0.1 of VALUE channels gives 8 heads 0 channels each: choose fewer heads'),
])  # fmt: skip
def test_refuses_arguments(make, values, sentence):
    for value in values:
        with pytest.raises(ValueError, match=sentence.replace('VALUE', repr(value))):
            make(value)


@pytest.mark.parametrize('name', LAYERS)
@pytest.mark.parametrize('backbone', ['resnet', 'mobile'])
def test_in_a_slot(name, backbone, monkeypatch):
    """After the block's last norm and before its sum, by the layers and not by a fast path, which knows no such layer."""
    monkeypatch.delattr(ops, 'norm_tail')  # whatever took it would raise
    attention = dict(type=name, **{k: v for k, v in LAYERS[name][0].items() if k != 'ratio'})
    if name in ('CBAMLayer', 'GCLayer'):
        attention['ratio'] = 8
    if backbone == 'resnet':
        model = AttentionResNet(18, attention, base_channels=C, stem_channels=C)
        block = model.layer1[1]
    else:
        model = AttentionMobileNetV2([None] * 4 + [attention] * 2 + [None])
        block = model.layer6[1]
    model.eval()
    x = torch.randn(1, block.out_channels, 4, 4, generator=torch.Generator().manual_seed(0))
    seen = []
    block.slot.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    y = block(x)
    assert not isinstance(block.slot, ChannelAttention) and type(block.slot).__name__ == name
    torch.testing.assert_close(y, (seen[0] + x).relu() if backbone == 'resnet' else seen[0] + x)
    assert torch.isfinite(model(torch.randn(1, 3, 32, 32))[-1]).all()
