"""The fast paths through the end of a block against the layers one by one: values, gradients, conditions."""

import pytest
import torch
from torch import nn

from eca_mm.models import (
    ECALayer,
    ECANSLayer,
    SEGCLayer,
    SELayer,
    SEVar1Layer,
    ops,
)
from eca_mm.models.ops.coefficients import Coefficients
from eca_mm.models.ops.conv_tail import conv_tail
from eca_mm.models.ops.norm_tail import norm_tail

KINDS = {
    'eca': ECALayer,
    'ns': ECANSLayer,
    'se': lambda c: SELayer(c, 2),
    'var1': SEVar1Layer,
    'gc': lambda c: SEGCLayer(c, 2),
}
LAYOUTS = pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=['nchw', 'nhwc'])
OFFSET = 3.0  # of the convolution's input: its outputs have means that count


class End(nn.Module):
    """The end of a block, layer by layer as a whole network has it, or by a fast path."""

    def __init__(self, kind='eca', training=True, path=None, n=3, k=8, c=16, h=5, w=6, dtype=torch.float64, relu=True):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.path, self.relu = path, relu
        self.conv = nn.Conv2d(k, c, 1, bias=False)
        self.norm = nn.BatchNorm2d(c).train(training)
        self.attention = KINDS[kind](c)
        self.to(dtype)
        for tensor in (*self.parameters(), self.norm.running_mean):
            tensor.data.normal_(generator=draw)
        self.norm.running_var.uniform_(0.5, 2, generator=draw)
        shapes = (n, k, h, w), (n, c, h, w), (n, c, h, w)
        self.z, self.identity, self.grad = (torch.randn(shape, dtype=dtype, generator=draw) for shape in shapes)
        self.z += OFFSET

    def compute(self, z, identity):
        coefficients = Coefficients(self.norm, self.attention)
        if self.path == 'conv':
            return conv_tail(z, self.conv.weight, identity, coefficients)
        if self.path == 'norm':
            return norm_tail(self.conv(z), identity, coefficients, self.relu)
        y = self.attention(self.norm(self.conv(z)))
        y = y if identity is None else y + identity
        return y.relu() if self.relu else y

    def results(self, layout=torch.preserve_format, has_identity=True):
        """Output, gradients of inputs and parameters, and the norm's statistics."""
        z = self.z.clone(memory_format=layout).requires_grad_()
        identity = self.identity.clone(memory_format=layout).requires_grad_() if has_identity else None
        y = self.compute(z, identity)
        y.backward(self.grad)
        inputs = [z, identity] if has_identity else [z]
        return [y, *(t.grad for t in (*inputs, *self.parameters())), *self.norm.buffers()]


CASES = {
    'training': dict(path='norm'),
    'running': dict(path='norm', training=False),
    'early': dict(path='conv', training=False),
    'one image': dict(path='norm', n=1),
    'one image, early': dict(path='conv', training=False, n=1),
    'one pixel': dict(path='norm', h=1, w=1),
    'no relu': dict(path='norm', relu=False),
}


@LAYOUTS
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_equals_the_layers(case, kind, layout):
    expected = End(kind, **{**case, 'path': None}).results(layout)
    got = End(kind, **case).results(layout)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    assert got[0].is_contiguous(memory_format=layout)


@LAYOUTS
@pytest.mark.parametrize('relu', [False, True])
def test_without_a_sum(relu, layout):
    expected, got = (End(path=path, relu=relu).results(layout, False) for path in (None, 'norm'))
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@LAYOUTS
@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_float32_rounds_no_worse(case, layout):
    """The greatest error, against float64, of each result: at most twice that of the layers, or some last places."""
    exact = End(**{**case, 'path': None}).results(layout)
    plain = End(**{**case, 'path': None}, dtype=torch.float32).results(layout)
    fast = End(**case, dtype=torch.float32).results(layout)
    for e, p, f in zip(exact, plain, fast, strict=True):
        scale = e.abs().max().clamp(min=1)
        assert (f - e).abs().max() <= max(2 * (p - e).abs().max(), 2e-6 * scale)


@LAYOUTS
def test_channels_far_from_zero(layout):
    """Means of a hundred deviations: the variance is that of the norm itself to five digits."""
    u = (torch.randn(4, 8, 30, 30, generator=torch.Generator().manual_seed(0)) + 100).contiguous(memory_format=layout)
    mean, var = ops.aten.moments(u, True)
    torch.testing.assert_close(mean.double(), u.double().mean((2, 3)), rtol=1e-5, atol=0)
    torch.testing.assert_close(var.double(), u.double().var((2, 3), correction=0), rtol=1e-5, atol=0)


@pytest.mark.parametrize('case', [CASES['training'], CASES['early']], ids=['norm', 'conv'])
def test_layouts_may_differ(case):
    ends = End(**{**case, 'path': None}), End(**case)
    for end in ends:
        end.identity = end.identity.contiguous(memory_format=torch.channels_last)
        end.z = end.z.mT.contiguous().mT  # neither contiguous nor channels_last
        end.grad = end.grad[:1, :1, :1, :1].expand_as(end.grad)  # as of a mean
    expected, got = (end.results() for end in ends)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_without_gradients(case):
    expected = End(**{**case, 'path': None})
    for context in (torch.no_grad(), torch.inference_mode()):
        got = End(**case)
        with context:
            y = got.compute(got.z.clone(), got.identity)
        torch.testing.assert_close(y, expected.compute(expected.z, expected.identity), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('frozen', ['conv', 'norm', 'attention', 'everything'])
@pytest.mark.parametrize('case', [CASES['training'], CASES['running'], CASES['early']], ids=['norm', 'running', 'conv'])
def test_frozen_parts(case, frozen):
    """What needs no gradient gets none, and the rest gets the same."""
    expected, got = End(**{**case, 'path': None}), End(**case)
    for end in (expected, got):
        (end if frozen == 'everything' else getattr(end, frozen)).requires_grad_(False)
    for a, b in zip(got.results(), expected.results(), strict=True):
        assert (a is None) == (b is None)
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10) if a is not None else None


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('case', [CASES['training'], CASES['running'], CASES['early'], CASES['no relu']])
def test_finite_differences(case, kind):
    """First and second derivatives, of inputs and parameters."""
    end = End(kind, **case, **({} if 'n' in case else dict(n=2)), k=2, c=4, h=1, w=2)
    names, values = zip(*end.named_parameters(), strict=True)
    statistics = [b.clone() for b in end.norm.buffers()]

    def compute(z, identity, *parameters):
        for buffer, value in zip(end.norm.buffers(), statistics, strict=True):
            buffer.data.copy_(value)
        for name, parameter in zip(names, parameters, strict=True):
            module, _, last = name.rpartition('.')
            end.get_submodule(module)._parameters[last] = parameter
        return end.compute(z, identity)

    inputs = [t.detach().requires_grad_() for t in (end.z, end.identity, *values)]
    assert torch.autograd.gradcheck(compute, inputs)
    assert torch.autograd.gradgradcheck(compute, inputs)
