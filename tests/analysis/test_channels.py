"""Pooled activations and channel weights against the layers' formulas, and the period of known sequences."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from eca_mm.analysis import channels
from eca_mm.analysis.channels import attention_taps, autocorrelation, collect, find_labelled, period, pooling_taps
from eca_mm.models import AttentionMobileNetV2, AttentionResNet
from tests.support import randomize

NARROW = dict(base_channels=8, stem_channels=8)


class Model(nn.Module):
    """As mmpretrain's classifiers and mmdet's detectors."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = randomize(backbone).eval()

    def extract_feat(self, images):
        return self.backbone(images)


def images(n):
    return torch.randn(n, 3, 64, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def files(monkeypatch):
    """Whose names are the numbers of images."""
    monkeypatch.setattr(channels, 'preprocessed', lambda model, files: images(9)[[int(file) for file in files]])


def first_block(model, x):
    """Up to its last norm."""
    b = model.backbone
    x = b.maxpool(b.norm1(b.conv1(x)).relu())
    block = b.layer1[0]
    return block.norm2(block.conv2(block.norm1(block.conv1(x)).relu()))


@pytest.mark.parametrize('attention', [None, dict(type='SELayer', ratio=2)], ids=['plain', 'se'])
@torch.no_grad()
def test_pooling_is_of_the_last_norm(attention):
    model = Model(AttentionResNet(18, attention, **NARROW))
    taps = pooling_taps(model, ['conv_2_1', 'backbone.layer4'])
    found = collect(model, [(str(i), 'cat') for i in range(3)], taps, batch=2)
    torch.testing.assert_close(
        torch.stack(found['conv_2_1'].first), first_block(model, images(9)[:3]).mean((2, 3)).double()
    )
    last = model.backbone(images(9)[:3])[0].mean((2, 3)).double()
    torch.testing.assert_close(found['backbone.layer4'].mean(), last.mean(0), rtol=1e-5, atol=1e-5)
    assert not any(m._forward_hooks for m in model.modules())


@torch.no_grad()
def test_weights_are_the_formula_by_class():
    model = Model(AttentionResNet(18, dict(type='ECALayer', kernel_size=3), **NARROW))
    labelled = [(str(i), 'ab'[i > 5]) for i in range(9)]
    found = collect(model, labelled, attention_taps(model), batch=4, examples=2)
    assert list(found) == [f'conv_{i}_{j}' for i in range(2, 6) for j in (1, 2)]
    y, weight = first_block(model, images(9)).mean((2, 3)), model.backbone.layer1[0].eca.conv.weight
    expected = F.conv1d(y[:, None], weight, padding=1)[:, 0].sigmoid().double()
    a, b = expected[:6].mean(0), expected[6:].mean(0)
    block = found['conv_2_1']
    for label, mean in (('a', a), ('b', b), (None, (a + b) / 2)):
        torch.testing.assert_close(block.mean(label), mean)
    assert len(block.first) == 2 and block.counts == {'a': 6, 'b': 3}  # and nothing else grows with the images


def test_mobilenet_has_the_same_names():
    model = Model(AttentionMobileNetV2(dict(type='ECALayer')))
    assert len(attention_taps(model)) == 17 and pooling_taps(model, ['conv_8_1'])
    plain = Model(AttentionMobileNetV2())
    found = collect(plain, [('0', 'x')], pooling_taps(plain, ['conv_3_1']))
    assert len(found['conv_3_1'].mean()) == 24


def test_labels_are_folders(tmp_path):
    for name in ('dog/1.png', 'cat/2.JPG', 'cat/notes.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [(f.name, label) for f, label in find_labelled(tmp_path)] == [('2.JPG', 'cat'), ('1.png', 'dog')]
    assert [label for _, label in find_labelled(tmp_path / 'cat')] == ['all images']
    with pytest.raises(FileNotFoundError, match='no image at'):
        find_labelled(tmp_path / 'nothing')
    (tmp_path / '3.png').touch()
    with pytest.raises(ValueError, match=r'has images beside its folders, of no class: 3\.png'):
        find_labelled(tmp_path)


def test_autocorrelation_is_numpys():
    y = np.random.default_rng(0).normal(size=101)
    centred = y - y.mean()
    expected = np.correlate(centred, centred, 'full')[100:151] / (centred**2).sum()
    np.testing.assert_allclose(autocorrelation(y), expected, atol=1e-12)
    assert not autocorrelation(np.ones(8)).any()


def test_period():
    rng, c = np.random.default_rng(1), np.arange(256)
    found = period(np.sin(c * 2 * np.pi / 16) + rng.normal(size=256) / 2)
    assert found.lag % 16 == 0 and found.height > 2 * found.bound
    random = [period(rng.permutation(c)) for _ in range(100)]
    assert sum(p.height < p.bound for p in random) >= 85
    assert period(np.ones(16)).lag == 0


@pytest.mark.parametrize(('call', 'sentence'), [
    (lambda model: attention_taps(model), 'AttentionResNet has no channel attention in its blocks'),
    (lambda model: pooling_taps(model, ['conv_2_9']), "the network has no 'conv_2_9': did you mean conv_2_"),
    (lambda model: pooling_taps(model, ['backbone.layer9']), "no 'backbone.layer9': did you mean backbone.layer"),
    (lambda model: collect(model, [('0', 'x')], {'it': channels.Tap(model.backbone, None)}), 'it gives no features'),
])  # fmt: skip
def test_refuses(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(Model(AttentionResNet(18, **NARROW)))
