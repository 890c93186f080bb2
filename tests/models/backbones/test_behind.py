"""Attention behind modules of any backbone: the patterns of the documentation, and what stays as it was."""

import ast
import copy
import re

import mmdet.models  # noqa: F401
import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from eca_mm.checkpoints.weights import EmptyOnMeta
from eca_mm.models import AttentionBehind, AttentionResNet, ECALayer, GSoPLayer, fuse_for_inference
from tests.support import REPOSITORY, randomize

PAGE = (REPOSITORY / 'docs/backbones.md').read_text()
TRIED = re.findall(r'^\| `(dict\(.*\))` \| `(.*)` \| (\d+) \|$', PAGE, flags=re.MULTILINE)
ECA = dict(type='eca_mm.ECALayer')
SMALL = dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8)
BN2 = r'layer\d\.\d+\.bn2'


def config(text):
    return {k.arg: ast.literal_eval(k.value) for k in ast.parse(text, mode='eval').body.keywords}


def evaluating(model):
    model.eval()  # mmpretrain's returns nothing
    return randomize(model)


def image(size=40):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_ten_architectures_are_in_the_table():
    assert len({config(text).get('model_name', config(text)['type']) for text, *_ in TRIED}) >= 10


@pytest.mark.parametrize(('text', 'pattern', 'number'), TRIED, ids=[text for text, *_ in TRIED])
@pytest.mark.filterwarnings('ignore')
def test_tried(text, pattern, number):
    with EmptyOnMeta():
        plain, model = MODELS.build(config(text)), AttentionBehind(config(text), pattern, ECA)
    assert type(model) is type(plain) and len(model.eca) == int(number)
    added = {key for key in model.state_dict() if key.startswith('eca.')}
    assert set(model.state_dict()) - added == set(plain.state_dict()) and len(added) == int(number)
    for network in plain, model:
        network.eval()
        network.to('meta')
    x = torch.empty(1, 3, 64, 96, device='meta')
    assert [f.shape for f in model(x)] == [f.shape for f in plain(x)]


def test_is_our_resnet():
    """With the layers of :class:`AttentionResNet`, which has them in its blocks."""
    theirs = randomize(AttentionResNet(18, ECA, base_channels=8, stem_channels=8, fused=False)).eval()
    ours = evaluating(AttentionBehind(SMALL, BN2, ECA))
    names = {re.sub(r'(layer\d)\.(\d)\.eca', r'eca.\1_\2_bn2', key): v for key, v in theirs.state_dict().items()}
    ours.load_state_dict(names)
    torch.testing.assert_close(ours(image()), theirs(image()))


@pytest.mark.parametrize('change', [copy.deepcopy, lambda model: copy.deepcopy(model).double().float()])
def test_a_copy_calls_its_own_layers(change):
    """As averages of weights need it."""
    model = evaluating(AttentionBehind(SMALL, BN2, ECA))
    other, before = change(model), model(image())[0]
    torch.testing.assert_close(other(image())[0], before)
    for layer in other.eca.values():
        nn.init.zeros_(layer.conv.weight)
    assert not torch.equal(other(image())[0], before) and torch.equal(model(image())[0], before)


@pytest.mark.parametrize('behind', [BN2, r'layer\d\.\d+\.conv2', r'layer\d\.\d+'])
def test_stays_where_norms_are_folded(behind):
    model = evaluating(AttentionBehind(SMALL, behind, ECA).double())
    with torch.no_grad():
        expected = model(image().double())
        torch.testing.assert_close(fuse_for_inference(model)(image().double()), expected)


def test_one_in_another():
    """As one kernel size for each stage takes it."""
    inner = dict(type='AttentionBehind', backbone=SMALL, behind='layer1', attention=dict(ECA, kernel_size=3))
    model = AttentionBehind(inner, 'layer2', dict(ECA, kernel_size=5))
    assert {key: layer.conv.kernel_size for key, layer in model.eca.items()} == dict(layer1=(3,), layer2=(5,))
    with pytest.raises(ValueError, match="behind='layer1': ResNet has eca already, behind layer1 or as a part"):
        AttentionBehind(inner, 'layer1', ECA)


def test_trains_and_is_as_it_was_built():
    model = AttentionBehind(SMALL, r'layer[34]\.1\.bn2', dict(type='GSoPLayer', channels=4), frozen_stages=2)
    assert all(m.training for m in model.layer4.modules()) and not model.layer1.training
    assert [type(layer) for layer in model.gsop.values()] == [GSoPLayer] * 2
    assert [layer.reduce.in_channels for layer in model.gsop.values()] == [32, 64]
    assert all(torch.equal(b, torch.zeros_like(b)) for n, b in model.named_buffers() if n.endswith('running_mean'))
    model(image())[0].sum().backward()
    assert all(p.grad is not None for p in model.gsop.parameters())


class Ends(nn.Module):
    """Modules with ends of all kinds."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.last = nn.Linear(4, 6)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.twice = nn.ReLU()
        self.never = nn.ReLU()
        self.pair = nn.MaxPool2d(2, return_indices=True)

    def forward(self, x):
        y = self.conv(x)
        self.flat(self.pool(self.twice(self.twice(y)))), self.pair(y)
        return self.last(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@pytest.fixture
def ends():
    MODELS.register_module('Ends', module=Ends)
    yield dict(type='Ends')
    MODELS.module_dict.pop('Ends')


def test_channels_behind_all_others(ends):
    model = AttentionBehind(ends, 'last', ECA).eval()
    layer, plain = model.eca['last'], Ends().eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    assert isinstance(layer, ECALayer)
    torch.testing.assert_close(model(image()), layer(plain(image())))


@pytest.mark.parametrize(('options', 'sentence'), [
    (dict(behind='layer9'), "behind='layer9' matches no module of Ends; names like it: "),
    (dict(behind='con'), 'matches no module of Ends; names like it: conv'),
    (dict(behind='('), r"behind must be a regular expression, got '\('"), (dict(behind=3), 'behind must be a regular'),
    (dict(behind='twice'), 'behind names twice, which gives Tensor, Tensor, Tensor, Tensor: choose modules'),
    (dict(behind='never'), 'behind names never, which gives nothing, as it is not called'),
    (dict(behind='pair'), 'behind names pair, which gives tuple, tuple'),
    (dict(behind='flat'), r'behind names flat, whose outputs \[1, 4\] and \[1, 4\] have no axis of channels'),
    (dict(attention=dict(type='ECALayre')), "no layer 'ECALayre' is registered; did you mean 'ECALayer'"),
    (dict(attention=dict(type='SELayer', ratio=3)), 'ratio must be a positive divisor of in_channels=4, got 3'),
    (dict(sizes=(64, 64)), r'sizes must be two different numbers of pixels, got \(64, 64\)'),
    (dict(sizes=(0, 64)), 'Ends takes no images of 0 pixels, choose other sizes'),
])  # fmt: skip
def test_refuses(options, sentence, ends):
    with pytest.raises(ValueError, match=sentence):
        AttentionBehind(**{'backbone': ends, 'behind': 'conv', 'attention': ECA, **options})
