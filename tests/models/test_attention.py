"""The layers against timm, the formulas, and finite differences."""

import re

import numpy as np
import pytest
import torch
from timm.layers import EcaModule, SEModule

from eca_mm.models import ChannelAttention, ECALayer, ECANSLayer, SEGCLayer, SELayer, SEVar1Layer, eca_kernel_size

KINDS = {
    'eca': ECALayer,
    'eca_ns': lambda c: ECANSLayer(c, 3),
    'se': SELayer,
    'se_var1': SEVar1Layer,
    'se_gc': lambda c: SEGCLayer(c, group_width=8),
}
EXACTLY = dict(rtol=0, atol=1e-12)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def layer(request):
    torch.manual_seed(0)
    return request.param(32)


def features(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(1)).requires_grad_()


class TestKernelSize:
    # By hand from Figure 3: t = (log2 C + 1) / 2 without its fraction is 2 or 3 and gives 3 from C = 2^3 on, 4 or 5 and
    # gives 5 from 2^7 on, and so on every factor of 16.
    def test_is_figure_3(self):
        expected = {
            1: 1,
            7: 1,
            8: 3,
            64: 3,
            96: 3,
            127: 3,
            128: 5,
            160: 5,
            512: 5,
            2047: 5,
            2048: 7,
            32767: 7,
            32768: 9,
        }
        assert {channels: eca_kernel_size(channels) for channels in expected} == expected

    def test_of_64_channels_with_other_parameters(self):
        # t = 6, which is even, so one more; 7; 2.5; 5; |-10|
        for gamma, b, expected in (1, 0, 7), (1, 1, 7), (2, -1, 3), (3, 9, 5), (1, -16, 11):
            assert eca_kernel_size(64, gamma, b) == ECALayer(64, gamma=gamma, b=b).conv.kernel_size[0] == expected

    def test_is_timm_s(self):
        for channels in (16, 24, 64, 96, 160, 256, 512, 1024, 1280, 2048):
            assert eca_kernel_size(channels) == EcaModule(channels).conv.kernel_size[0]


@pytest.mark.parametrize('kernel_size', [None, 1, 9])
def test_eca_equals_timm(kernel_size):
    theirs = (EcaModule(64) if kernel_size is None else EcaModule(kernel_size=kernel_size)).double()
    ours = ECALayer(64, kernel_size).double()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(features(2, 64, 5, 7)), theirs(features(2, 64, 5, 7)), **EXACTLY)


def test_eca_ns_is_equation_4():
    layer, x, k = ECANSLayer(6, 5).double(), features(2, 6, 3, 4), 5
    y = x.mean((2, 3))
    expected = torch.empty_like(x)
    for i in range(6):
        neighbours = [(j, i + j - k // 2) for j in range(k) if 0 <= i + j - k // 2 < 6]
        omega = sum(layer.conv.weight[i, 0, j] * y[:, n] for j, n in neighbours).sigmoid()
        expected[:, i] = x[:, i] * omega[:, None, None]
    torch.testing.assert_close(layer(x), expected, **EXACTLY)


def test_se_is_equations_1_and_2():
    layer, x = SELayer(32, ratio=8).double(), features(2, 32, 3, 4)
    omega = torch.sigmoid(torch.relu(x.mean((2, 3)) @ layer.fc1.weight.T) @ layer.fc2.weight.T)
    torch.testing.assert_close(layer(x), x * omega[..., None, None], **EXACTLY)


def test_se_with_biases_equals_timm():
    theirs = SEModule(64).double()
    ours = SELayer(64, ratio=8, bias=True).double()
    ours.load_state_dict({k: v.flatten(1) if v.ndim > 1 else v for k, v in theirs.state_dict().items()})
    x = features(2, 64, 3, 4)
    torch.testing.assert_close(ours(x), theirs(x), **EXACTLY)
    shapes = {key: tuple(value.shape) for key, value in SELayer(64).state_dict().items()}
    assert shapes == {'fc1.weight': (4, 64), 'fc2.weight': (64, 4)}  # r = 16, no biases


@pytest.mark.parametrize('groups', [1, 2, 16])
def test_se_gc_is_equation_3(groups):
    layer, x = SEGCLayer(16, groups).double(), features(2, 16, 3, 4)
    w = torch.block_diag(*layer.conv.weight[:, :, 0].chunk(groups))
    omega = torch.sigmoid(x.mean((2, 3)) @ w.T)
    torch.testing.assert_close(layer(x), x * omega[..., None, None], **EXACTLY)
    assert SEGCLayer(16, group_width=16 // groups).conv.groups == groups


def test_se_var1_has_only_the_sigmoid():
    x = features(2, 16, 3, 4)
    torch.testing.assert_close(SEVar1Layer(16)(x), x * x.mean((2, 3), True).sigmoid(), **EXACTLY)


def test_a_new_layer_is_its_formula():
    class Mean(ChannelAttention):
        def gate(self, y):
            return y

    x = features(2, 3, 4, 5)
    torch.testing.assert_close(Mean()(x), x * x.mean((2, 3), True), **EXACTLY)
    with pytest.raises(TypeError, match='abstract'):
        ChannelAttention()


def test_gradients(layer):
    layer = layer.double()
    names, values = layer.state_dict().keys(), layer.parameters()
    assert torch.autograd.gradcheck(
        lambda x, *ws: torch.func.functional_call(layer, dict(zip(names, ws, strict=True)), x),
        (features(1, 32, 1, 2), *values),
    )


@pytest.mark.parametrize(('make', 'values', 'sentence'), [
    (eca_kernel_size, (0, -1, 2.5, True), 'channels must be a positive integer, got VALUE'),
    (lambda gamma: eca_kernel_size(64, gamma), (0, -2, float('nan')), 'gamma .*got VALUE'),
    (lambda k: ECALayer(64, k), (0, 2, -3, 3.0, True, '3'), 'kernel_size must be a positive odd .*got VALUE'),
    (lambda k: ECANSLayer(64, k), (4,), 'odd .*got VALUE'),
    (lambda ratio: SELayer(64, ratio), (0, -2, 5, 128, 2.0, True), 'ratio .*64, got VALUE'),
    (lambda groups: SEGCLayer(16, groups), (0, -2, 3, 32, 2.0, True), 'groups .*16, got VALUE'),
    (lambda width: SEGCLayer(16, group_width=width), (0, 3, 32), 'group_width .*16, got VALUE'),
    (lambda options: SEGCLayer(16, *options), ((), (2, 8)), 'either groups or group_width'),
    *((kind, (0, 64.0, True, None), 'in_channels must be a positive integer, got VALUE')
      for kind in KINDS.values() if kind is not SEVar1Layer),
])  # fmt: skip
def test_refuses_arguments(make, values, sentence):
    for value in values:
        with pytest.raises(ValueError, match=sentence.replace('VALUE', repr(value))):
            make(value)


def test_takes_the_integers_of_numpy():
    c, k = np.int64(64), np.int32(3)
    assert all(kind(c)(torch.ones(1, 64, 2, 2)).shape == (1, 64, 2, 2) for kind in KINDS.values())
    assert [type(n) for n in ECALayer(c, k).conv.kernel_size] == [int]
    assert SELayer(c, k - 1).fc1.out_features == SEGCLayer(c, group_width=k - 1).conv.groups == 32


def test_refuses_input():
    for shape in (32,), (2, 32), (2, 32, 4), (2, 32, 4, 4, 4):
        with pytest.raises(ValueError, match=re.escape(f'(N, C, H, W), got {list(shape)}')):
            SEVar1Layer(32)(torch.ones(shape))


@pytest.mark.parametrize('shape', [(2, 32, 1, 1), (0, 32, 4, 4), (1, 32, 3, 5)])
def test_shapes_and_formats(layer, shape):
    x = features(*shape, dtype=torch.float32)
    y = layer(x)
    assert y.shape == shape and not list(layer.buffers())
    y.sum().backward()
    assert x.grad.shape == shape
    last = layer(x.to(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, y)


def test_amp(layer):
    x = features(2, 32, 4, 4, dtype=torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        y = layer(x)
        low = layer(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(y, layer(x), rtol=0.02, atol=0.02)
    torch.testing.assert_close(low.float(), layer(x), rtol=0.03, atol=0.03)


def export(layer):
    dims = {0: torch.export.Dim('n', min=1), 2: torch.export.Dim('h', min=1), 3: torch.export.Dim('w', min=1)}
    return torch.export.export(layer, (torch.ones(2, 32, 4, 4),), dynamic_shapes=(dims,)).module()


def compiled(layer):
    return torch.compile(layer, fullgraph=True, backend='aot_eager')


@pytest.mark.parametrize('translate', [torch.jit.script, torch.fx.symbolic_trace, export, compiled])
def test_translations(layer, translate):
    translated = translate(layer)
    for shape in (2, 32, 4, 4), (3, 32, 5, 6):
        x, other = features(*shape, dtype=torch.float32), features(*shape, dtype=torch.float32)
        y, expected = translated(x), layer(other)
        torch.testing.assert_close(y, expected)
    y.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(x.grad, other.grad)


@torch.no_grad()
def test_inductor():
    layer, x = ECALayer(32), features(2, 32, 4, 4, dtype=torch.float32)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))


@pytest.mark.parametrize('translated', [
    lambda layer, x: torch.jit.script(layer)(x), lambda layer, x: torch.export.export(layer, (x,)),
    lambda layer, x: torch.compile(layer, backend='eager')(x),
], ids=['script', 'export', 'compile'])  # fmt: skip
def test_translations_refuse_input(translated):
    with pytest.raises((ValueError, torch.jit.Error), match=r'\(N, C, H, W\), got \[2, 32\]'):
        translated(SEVar1Layer(32), torch.ones(2, 32))
    torch.compiler.reset()  # it would not try the functions again that raised
