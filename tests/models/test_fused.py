"""Backbones with the fast paths on and off: the same results, and off wherever somebody would notice."""

import copy
import functools
import gc

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from torch import nn
from torch.utils._pytree import tree_leaves

from eca_mm.models import AttentionResNet, ECALayer, ECAMobileNetV2, ECAResNet
from eca_mm.models.ops import block_end as ends
from tests.support import randomize


def image(n=2, size=37, dtype=torch.float64):
    return torch.randn(n, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def paths(monkeypatch):
    """The fast paths that are taken, by name."""
    taken = []

    def record(name, path):
        return functools.wraps(path)(lambda *args: taken.append(name) or path(*args))

    for name in ('norm_tail', 'conv_tail'):
        monkeypatch.setattr(ends, name, record(name, getattr(ends, name)))
    return taken


def results(model, x, train=True):
    model.train(train)
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    features = model(x)
    sum(f.square().mean() for f in features).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    return [*features, x.grad], gradients, dict(model.named_buffers())


SE, NARROW = dict(type='SELayer', ratio=4), dict(base_channels=8, stem_channels=8, out_indices=(0, 1, 2, 3))
NETWORKS = {
    'eca50': (lambda **o: ECAResNet(50, **NARROW, **o), 16),
    'se50, norms frozen': (lambda **o: AttentionResNet(50, SE, norm_eval=True, **NARROW, **o), 16),
    'eca50, checkpointed': (lambda **o: ECAResNet(50, with_cp=True, norm_eval=True, **NARROW, **o), 32),
    'eca18, partly frozen': (lambda **o: ECAResNet(18, frozen_stages=1, norm_eval=True, **NARROW, **o), 8),
    'eca18, deep': (lambda **o: ECAResNet(18, deep_stem=True, avg_down=True, **NARROW, **o), 8),
    'mobile': (lambda **o: ECAMobileNetV2(widen_factor=0.25, **o), 17),
}


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=['nchw', 'nhwc'])
@pytest.mark.parametrize('train', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize(('build', 'number'), NETWORKS.values(), ids=NETWORKS)
def test_whole_networks(build, number, train, layout, paths):
    """Features, all gradients and all statistics in double precision; state dicts fit each other as they are."""
    plain, fast = (build(fused=fused).double() for fused in (False, True))
    fast.load_state_dict(randomize(plain).state_dict(), strict=True)
    plain, fast = plain.to(memory_format=layout), fast.to(memory_format=layout)
    x = image().contiguous(memory_format=layout)
    expected = results(plain, x, train)
    assert not paths
    got = results(fast, x, train)
    assert len(paths) == number  # a checkpoint computes twice
    for a, b in zip(tree_leaves(got), tree_leaves(expected), strict=True):
        assert (a - b).abs().max() <= 1e-10 * b.abs().max().clamp(min=1)


def test_which_path(paths):
    """Early where BN's statistics are known and maps are larger than the branch is wide: 64, 32, 16 and 8 pixels a side."""
    model = ECAResNet(50).train()
    with torch.no_grad():
        model(image(1, 256, torch.float32))
        assert paths == ['norm_tail'] * 16
        paths.clear()
        model.eval()(image(1, 256, torch.float32))
        assert paths == ['conv_tail'] * (3 + 4 + 6) + ['norm_tail'] * 3  # 512 channels and 8 x 8 pixels at last


class Halve(ECALayer):
    """With a forward of its own, which says more than its weights."""

    def forward(self, x):
        return super().forward(x) / 2


class HalfWeights(ECALayer):
    """With weights of its own, which the fast formula of ECA does not give."""

    def gate(self, y):
        return super().gate(y) / 2


class Halved:
    """A mixin."""

    def gate(self, y):
        return super().gate(y) / 2


class Mixed(Halved, ECALayer):
    pass


@pytest.mark.parametrize('kind', [HalfWeights, Mixed])
def test_weights_of_a_subclass(paths, kind):
    fast, x = block(kind)
    plain = block(kind, fused=False)[0]
    plain.load_state_dict(fast.state_dict())
    torch.testing.assert_close(fast(x), plain(x))
    assert paths == ['norm_tail']


def block(attention='eca_mm.ECALayer', ratio=None, **options):
    """The last block of a small network, and features for it."""
    layer = dict(type=attention) if ratio is None else dict(type=attention, ratio=ratio)
    model = AttentionResNet(18, layer, **NARROW, **options).eval()
    return model.layer4[1], torch.rand(2, 64, 3, 4)


@pytest.mark.parametrize('make', [
    lambda: block(norm_cfg=dict(type='GN', num_groups=4)), lambda: block(norm_cfg=dict(type='SyncBN')),
    lambda: block(Halve), lambda: block('ContextBlock', ratio=1 / 4), lambda: block(fused=False),
], ids=['group norm', 'synchronised', 'own forward', 'no channel attention', 'switched off'])  # fmt: skip
def test_off_for_layers(make, paths):
    layers, x = make()
    layers(x)
    assert not paths


@pytest.mark.parametrize('change', [
    lambda b: b.bfloat16(), lambda b: setattr(b.bn2.train(), 'momentum', None), lambda b: b.train(),
    lambda b: setattr(b, 'relu', nn.ReLU6()),
], ids=['half precision', 'momentum', 'drop path', 'activation'])  # fmt: skip
def test_off_in_states(change, paths):
    layers, x = block(drop_path_rate=0.5)
    layers(x)
    assert paths.pop()
    change(layers)
    layers(x.to(layers.conv1.weight.dtype))
    assert not paths


@pytest.mark.parametrize('name', ['conv2', 'bn2', 'eca', 'eca.conv', 'relu', 'drop_path'])
@pytest.mark.parametrize('kind', ['forward_hook', 'forward_pre_hook', 'full_backward_hook', 'full_backward_pre_hook'])
def test_hooks_are_called(name, kind, paths):
    if name == 'relu' and 'backward' in kind:
        pytest.skip('torch has no backward hooks of modules that work in place')
    layers, x = block()
    expected, seen = layers(x.clone().requires_grad_()), []
    paths.clear()
    getattr(layers.get_submodule(name), f'register_{kind}')(lambda *_: seen.append(name))
    y = layers(x.clone().requires_grad_())
    y.sum().backward()
    assert seen and not paths
    torch.testing.assert_close(y, expected)


def test_hooks_of_all_modules_are_called(paths):
    layers, x = block()
    seen = []
    with torch.nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module)):
        layers(x)
    assert layers.eca in seen and layers.eca.conv in seen and not paths


def test_autocast_compilers_exporters_and_transforms_see_the_layers(paths):
    layers, x = block()
    (plain, _), options = block(fused=False), dict(rtol=1e-5, atol=1e-6)
    plain.load_state_dict(layers.state_dict())
    expected = plain(x)
    with torch.autocast('cpu'):
        assert layers(x).dtype == plain(x).dtype
    torch.testing.assert_close(torch.compile(layers, backend='eager', fullgraph=True)(x), expected, **options)
    torch.testing.assert_close(torch.jit.trace(layers, x, check_trace=False)(x), expected, **options)
    torch.testing.assert_close(torch.fx.symbolic_trace(layers)(x), expected, **options)
    exported = [str(torch.export.export(b, (x,)).graph) for b in (layers, plain)]
    assert exported[0] == exported[1]
    torch.func.grad(lambda t: layers(t).sum())(x)
    layers.to('meta')(x.to('meta'))
    assert not paths


def test_counting_operators_sees_the_layers(paths):
    layers, x = block()
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        layers(x)
    assert counter.get_total_flops() and not paths


def test_distributed(tmp_path, paths):
    """The gradients of all parameters are reduced: those of a fast path as well."""
    torch.distributed.init_process_group('gloo', f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        model = ECAResNet(18, **NARROW).double()
        alone = copy.deepcopy(model)
        expected = results(alone, image())
        reduced = []
        wrapper = MMDistributedDataParallel(model)
        wrapper.register_comm_hook(
            None, lambda _, bucket: reduced.extend(bucket.parameters()) or _done(bucket.buffer())
        )
        torch.testing.assert_close(results(wrapper, image())[0], expected[0], rtol=1e-10, atol=1e-10)
        assert len(reduced) == len(list(alone.parameters())) and len(paths) == 16
        for got, p in zip(model.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(got.grad, p.grad, rtol=1e-10, atol=1e-10)
    finally:
        torch.distributed.destroy_process_group()


def _done(buffer):
    future = torch.futures.Future()
    future.set_result(buffer)
    return future


def test_nothing_outlives_its_step():
    """An operator whose output is kept with its own graph would keep itself, where Python's collector does not see it."""
    model, alive = ECAResNet(18, **NARROW).train(), []
    for _ in range(3):
        sum(f.square().mean() for f in model(torch.rand(2, 3, 32, 32))).backward()
        gc.collect()
        alive.append(sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()))
    assert alive[1] == alive[2]
