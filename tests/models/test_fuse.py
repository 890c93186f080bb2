"""Networks made faster for inference against themselves."""

import copy
import json

import pytest
import torch
from torch import nn

import eca_mm
from eca_mm.engine import load_config
from eca_mm.engine.model import build_model
from eca_mm.models import AttentionMobileNetV2, AttentionResNet, ECAMobileNetV2, ECAResNet, fuse_for_inference
from eca_mm.models.backbones import base
from eca_mm.models.ops import block_end as ends
from tests.support import FASTER, randomize

NARROW = dict(base_channels=8, stem_channels=8, out_indices=(0, 1, 2, 3))
NETWORKS = {
    'eca50': lambda: ECAResNet(50, **NARROW),
    'se50': lambda: AttentionResNet(50, dict(type='SELayer', ratio=4), **NARROW),
    'plain50': lambda: AttentionResNet(50, **NARROW),
    'another layer': lambda: AttentionResNet(50, dict(type='ContextBlock', ratio=1 / 4), **NARROW),
    'eca18': lambda: ECAResNet(18, deep_stem=True, avg_down=True, **NARROW),
    'group norm': lambda: ECAResNet(18, norm_cfg=dict(type='GN', num_groups=4), **NARROW),
    'mobile': lambda: ECAMobileNetV2(widen_factor=0.25),
    'plain mobile': lambda: AttentionMobileNetV2(widen_factor=0.25),
}


def image():
    return torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('build', NETWORKS.values(), ids=NETWORKS)
def test_computes_the_same(build):
    model = randomize(build().double()).eval()
    expected = model(image())
    fused = fuse_for_inference(copy.deepcopy(model).train())
    assert not fused.training and not any(p.requires_grad for p in fused.parameters())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    for fast in (True, False):  # the last product with the gate in it, or torch's operators
        for block in fused.modules():
            if isinstance(block, base.AttentionBlock):
                block.fused = fast
        torch.testing.assert_close(fused(image()), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    'name', ['AttentionPreActResNet', 'AttentionDenseNet', 'AttentionResNeXt', 'AttentionInceptionV3']
)
def test_a_norm_is_folded_into_the_convolution_that_it_follows(name):
    """Not into one that is registered before it."""
    depth = dict(depth=50) if 'ResNe' in name else {}
    model = randomize(getattr(eca_mm, name)(attention=dict(type='ECALayer'), **depth).double()).eval()
    with torch.no_grad():
        x = torch.randn(1, 3, 75, 75, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        expected = model(x)[-1]
        error = (fuse_for_inference(model)(x)[-1] - expected).abs().max() / expected.abs().max()
    assert error < 1e-9


def test_hooks_of_the_layer_are_called():
    block = fuse_for_inference(ECAResNet(50, **NARROW)).layer1[1]
    x, seen = torch.rand(2, 32, 6, 5), []
    expected = block(x)
    block.eca.register_forward_hook(lambda *_: seen.append('hook'))
    torch.testing.assert_close(block(x), expected)
    assert seen == ['hook']


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=['nchw', 'nhwc'])
def test_the_last_product_has_the_gate(layout, monkeypatch):
    taken, conv_tail = [], ends.conv_tail
    monkeypatch.setattr(ends, 'conv_tail', lambda *args: taken.append(1) or conv_tail(*args))
    model = randomize(ECAResNet(50, **NARROW).double()).eval().to(memory_format=layout)
    x = image().contiguous(memory_format=layout)
    expected = model(x)
    taken.clear()
    got = fuse_for_inference(model)(x)
    torch.testing.assert_close(got, expected)
    assert len(taken) == 3 + 4  # the third stage has 32 channels and 16 pixels


def test_detector():
    cfg = load_config(FASTER, cfg_options={'model.backbone.depth': 18, 'model.neck.in_channels': [64, 128, 256, 512]})
    model = build_model(cfg).double().eval()
    randomize(model.backbone)
    x = image()
    with torch.no_grad():
        expected = model.extract_feat(x)
        torch.testing.assert_close(fuse_for_inference(model).extract_feat(x), expected, rtol=1e-9, atol=1e-9)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.backbone.modules())


def test_exported_gates_come_early():
    """The mean is taken of the last convolution's input, of 8 channels, and no longer of its output, of 32."""
    model = fuse_for_inference(ECAResNet(50, **NARROW))
    graph = torch.export.export(model.layer1[1], (torch.rand(2, 32, 6, 5),)).graph
    means = [node.args[0].meta['val'].shape[1] for node in graph.nodes if 'mean' in str(node.target)]
    assert means == [8]


def test_tools(classifier, in_process, monkeypatch, tmp_path):
    """Metrics and predictions stay what they are, and come from a network without batch norms."""
    torch.save(randomize(build_model(load_config(classifier))).state_dict(), tmp_path / 'weights.pth')
    run = ('test', classifier, 'weights.pth', '--work-dir')
    plain, fused = (in_process(*run, *options).splitlines()[-3:-1] for options in (['plain'], ['fused', '--fuse']))
    assert plain[1].startswith('accuracy/top5') and fused == plain
    picture = next((tmp_path.parent).glob('**/n00000000/0.png'))
    found = []
    for options in ([], ['--fuse']):
        in_process('predict', classifier, 'weights.pth', picture, '--device', 'cpu', *options)
        found += json.loads((tmp_path / 'predictions/preds.json').read_text()).values()
    assert found[0]['pred_label'] == found[1]['pred_label']
    assert found[0]['pred_score'] == pytest.approx(found[1]['pred_score'], rel=1e-3)
