"""The layers against timm, the formulas, and finite differences."""

import re

import numpy as np
import pytest
import torch
from timm.layers import EcaModule, SEModule
from torch import nn

from eca_mm.models import ECALayer, ECANSLayer, SEGCLayer, SELayer, SEVar1Layer, eca_kernel_size

LAYERS = [
    lambda: ECALayer(32),
    lambda: ECANSLayer(32, 3),
    lambda: SELayer(32),
    lambda: SEVar1Layer(32),
    lambda: SEGCLayer(32, group_width=8),
]
IDS = ['eca', 'eca_ns', 'se', 'se_var1', 'se_gc']


@pytest.fixture(params=LAYERS, ids=IDS)
def layer(request):
    torch.manual_seed(0)
    return request.param()


def features(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(1)).requires_grad_()


class TestKernelSize:
    # By hand from Figure 3: t = (log2 C + 1) / 2 without its fraction is 2 or 3 and gives 3 from C = 2^3 on, 4 or 5 and
    # gives 5 from 2^7 on, and so on every factor of 16.
    @pytest.mark.parametrize(('channels', 'expected'), [
        (1, 1), (2, 1), (7, 1), (8, 3), (16, 3), (64, 3), (96, 3), (127, 3), (128, 5), (160, 5), (256, 5), (512, 5),
        (1024, 5), (2047, 5), (2048, 7), (32767, 7), (32768, 9),
    ])  # fmt: skip
    def test_is_figure_3(self, channels, expected):
        assert eca_kernel_size(channels) == expected

    @pytest.mark.parametrize(('gamma', 'b', 'expected'), [
        (1, 0, 7),  # 6, even, and one more
        (1, 1, 7),  # 7
        (2, -1, 3),  # 2.5
        (3, 1, 3),  # 2.33
        (3, 9, 5),  # 5
        (1, -16, 11),  # |-10|
    ])  # fmt: skip
    def test_of_64_channels_with_other_parameters(self, gamma, b, expected):
        assert eca_kernel_size(64, gamma, b) == expected

    def test_is_timm_s(self):
        for channels in (16, 24, 64, 96, 160, 256, 512, 1024, 1280, 2048):
            assert eca_kernel_size(channels) == EcaModule(channels).conv.kernel_size[0]

    @pytest.mark.parametrize('channels', [0, -1, 2.5, 64.0, True])
    def test_refuses_channels(self, channels):
        with pytest.raises(ValueError, match=f'channels .*got {channels}'):
            eca_kernel_size(channels)

    @pytest.mark.parametrize('gamma', [0, -2, float('nan')])
    def test_refuses_gamma(self, gamma):
        with pytest.raises(ValueError, match=f'gamma .*got {gamma}'):
            eca_kernel_size(64, gamma=gamma)


@pytest.mark.parametrize('kernel_size', [None, 1, 3, 5, 7, 9])
def test_eca_equals_timm(kernel_size):
    theirs = (EcaModule(64) if kernel_size is None else EcaModule(kernel_size=kernel_size)).double()
    ours = ECALayer(64, kernel_size).double()
    ours.load_state_dict(theirs.state_dict())
    x1, x2 = features(2, 64, 5, 7), features(2, 64, 5, 7)
    y1, y2 = theirs(x1), ours(x2)
    torch.testing.assert_close(y2, y1, rtol=0, atol=1e-12)
    y1.pow(2).sum().backward()
    y2.pow(2).sum().backward()
    torch.testing.assert_close(x2.grad, x1.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.conv.weight.grad, theirs.conv.weight.grad, rtol=0, atol=1e-12)


def test_eca_ns_is_equation_4():
    layer, x, k = ECANSLayer(6, 3).double(), features(2, 6, 3, 4), 3
    y = x.mean((2, 3))
    expected = torch.empty_like(x)
    for i in range(6):
        neighbours = [(j, i + j - k // 2) for j in range(k) if 0 <= i + j - k // 2 < 6]
        omega = sum(layer.conv.weight[i, 0, j] * y[:, n] for j, n in neighbours).sigmoid()
        expected[:, i] = x[:, i] * omega[:, None, None]
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


def test_eca_ns_with_equal_rows_is_eca():
    eca, ns, x = ECALayer(16, 5).double(), ECANSLayer(16, 5).double(), features(2, 16, 3, 3)
    with torch.no_grad():
        ns.conv.weight.copy_(eca.conv.weight.expand(16, 1, 5))
    torch.testing.assert_close(ns(x), eca(x), rtol=0, atol=1e-12)


def test_se_is_equations_1_and_2():
    layer, x = SELayer(32, ratio=8).double(), features(2, 32, 3, 4)
    y = x.mean((2, 3))
    omega = torch.sigmoid(torch.relu(y @ layer.fc1.weight.T) @ layer.fc2.weight.T)
    torch.testing.assert_close(layer(x), x * omega[..., None, None], rtol=0, atol=1e-12)


@pytest.mark.parametrize('groups', [1, 2, 16])
def test_se_gc_is_equation_3(groups):
    layer, x = SEGCLayer(16, groups).double(), features(2, 16, 3, 4)
    w = torch.block_diag(*layer.conv.weight[:, :, 0].chunk(groups))
    omega = torch.sigmoid(x.mean((2, 3)) @ w.T)
    torch.testing.assert_close(layer(x), x * omega[..., None, None], rtol=0, atol=1e-12)
    assert SEGCLayer(16, group_width=16 // groups).conv.groups == groups


def test_se_var1_has_only_the_sigmoid():
    x = features(2, 16, 3, 4)
    torch.testing.assert_close(SEVar1Layer(16)(x), x * x.mean((2, 3), True).sigmoid(), rtol=0, atol=1e-12)


@pytest.mark.parametrize('options', [{}, {'groups': 2, 'group_width': 8}])
def test_se_gc_needs_one_option(options):
    with pytest.raises(ValueError, match='either groups or group_width'):
        SEGCLayer(16, **options)


@pytest.mark.parametrize('name', ['groups', 'group_width'])
@pytest.mark.parametrize('value', [0, -2, 3, 32, 2.0, True])
def test_se_gc_refuses(name, value):
    with pytest.raises(ValueError, match=f'{name} .*16, got {value}'):
        SEGCLayer(16, **{name: value})


def test_gradients(layer):
    layer = layer.double()
    names, values = layer.state_dict().keys(), layer.parameters()
    assert torch.autograd.gradcheck(
        lambda x, *ws: torch.func.functional_call(layer, dict(zip(names, ws, strict=True)), x),
        (features(2, 32, 2, 3), *values),
    )


@pytest.mark.parametrize('kernel_size', [0, 2, 4, -3, 3.0, True, '3'])
@pytest.mark.parametrize('kind', [ECALayer, ECANSLayer])
def test_refuses_kernel_size(kind, kernel_size):
    with pytest.raises(ValueError, match=f'odd.*{kernel_size}'):
        kind(64, kernel_size)


@pytest.mark.parametrize('ratio', [0, -2, 5, 128, 2.0, True])
def test_refuses_ratio(ratio):
    with pytest.raises(ValueError, match=f'ratio.*{ratio}'):
        SELayer(64, ratio)


KINDS = [ECALayer, lambda c: ECALayer(c, 3), ECANSLayer, SELayer, SEVar1Layer, lambda c: SEGCLayer(c, 1)]


@pytest.mark.parametrize('channels', [0, -5, 64.0, True, None])
@pytest.mark.parametrize('kind', KINDS)
def test_refuses_channels(kind, channels):
    with pytest.raises(ValueError, match=f'in_channels must be a positive integer, got {channels}'):
        kind(channels)


def test_takes_the_integers_of_numpy():
    c, k = np.int64(64), np.int32(3)
    assert all(kind(c)(torch.ones(1, 64, 2, 2)).shape == (1, 64, 2, 2) for kind in KINDS)
    assert [type(n) for n in ECALayer(c, k).conv.kernel_size] == [int]
    assert SELayer(c, k - 1).fc1.out_features == SEGCLayer(c, group_width=k - 1).conv.groups == 32


def test_se_with_biases_equals_timm():
    theirs = SEModule(64).double()
    ours = SELayer(64, ratio=8, bias=True).double()
    ours.load_state_dict({k: v.flatten(1) if v.ndim > 1 else v for k, v in theirs.state_dict().items()})
    x = features(2, 64, 3, 4)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)
    assert not any('bias' in name for name in SELayer(64).state_dict())


@pytest.mark.parametrize('shape', [(32,), (2, 32), (2, 32, 4), (2, 32, 4, 4, 4)])
def test_refuses_input(layer, shape):
    with pytest.raises(ValueError, match=re.escape(f'(N, C, H, W), got {list(shape)}')):
        layer(torch.ones(shape))


@pytest.mark.parametrize('shape', [(2, 32, 1, 1), (0, 32, 4, 4), (1, 32, 3, 5)])
def test_shapes(layer, shape):
    x = features(*shape, dtype=torch.float32)
    y = layer(x)
    assert y.shape == shape
    y.sum().backward()
    assert x.grad.shape == shape


def test_channels_last(layer):
    x = features(2, 32, 4, 4, dtype=torch.float32)
    y = layer(x.to(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, layer(x))


def test_amp(layer):
    x = features(2, 32, 4, 4, dtype=torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        y = layer(x)
        low = layer(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(y, layer(x), rtol=0.02, atol=0.02)
    torch.testing.assert_close(low.float(), layer(x), rtol=0.03, atol=0.03)


def test_export(layer):
    x = features(2, 32, 4, 4, dtype=torch.float32)
    dims = {0: torch.export.Dim('n', min=1), 2: torch.export.Dim('h', min=1), 3: torch.export.Dim('w', min=1)}
    program = torch.export.export(layer, (x,), dynamic_shapes=(dims,))
    other = features(3, 32, 5, 6, dtype=torch.float32)
    torch.testing.assert_close(program.module()(other), layer(other))


@pytest.mark.parametrize('translate', [torch.jit.script, torch.fx.symbolic_trace], ids=['script', 'fx'])
def test_script_and_fx(layer, translate):
    translated = translate(layer)
    for shape in ((2, 32, 4, 4), (1, 32, 3, 5)):
        x = features(*shape, dtype=torch.float32)
        torch.testing.assert_close(translated(x), layer(x), rtol=0, atol=0)
    with pytest.raises((ValueError, torch.jit.Error), match=r'got \[2, 32\]'):  # the check is not lost
        translated(torch.ones(2, 32))


def test_export_and_compile_refuse_input(layer):
    sentence = r'\(N, C, H, W\), got \[2, 32\]'
    with pytest.raises(ValueError, match=sentence):
        torch.export.export(layer, (torch.ones(2, 32),))
    with pytest.raises(ValueError, match=sentence):
        torch.compile(layer, backend='eager')(torch.ones(2, 32))
    torch.compiler.reset()  # it would not try the functions again that raised


def test_compile(layer):
    x, other = features(2, 32, 4, 4, dtype=torch.float32), features(2, 32, 4, 4, dtype=torch.float32)
    compiled = torch.compile(layer, fullgraph=True)
    y, expected = compiled(x), layer(other)
    torch.testing.assert_close(y, expected)
    y.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(x.grad, other.grad)


def test_no_buffers(layer):
    assert not list(layer.buffers())
    assert all(not isinstance(m, nn.BatchNorm2d) for m in layer.modules())
