"""An unknown network, added as its backbone and its `Family`; another library's format is part of the family."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from eca_mm.checkpoints import families, keys
from eca_mm.checkpoints.family import Family
from eca_mm.checkpoints.layout import Layout, Target
from eca_mm.models import ECALayer
from tests.convert.networks import convert_state


class ECAToyNet(nn.Module):
    """Two stages of one convolution and ECA."""

    def __init__(self, width, kernel_size):
        super().__init__()
        self.width = width
        for stage, k in enumerate(kernel_size, 1):
            block = nn.ModuleDict(dict(conv=nn.Conv2d(3 if stage == 1 else width, width, 3), eca=ECALayer(width, k)))
            self.add_module(f'stage{stage}', nn.ModuleList([block]))


NAMES = (('first.', 'stage1.0.'), ('second.', 'stage2.0.'))


class ToyNet(Family):
    name, features = 'ToyNet', 'width'
    pattern = r'stage\d\.0\.conv\.weight'
    block = r'(stage\d+)\.(\d+)\.(.+)'
    layouts = (Layout('toys', (r'body\.first\.conv\.weight',), 'body.', 'logits.'),)
    key_maps = ((r'first\..+', NAMES),)
    targets = dict(toys=lambda network: Target('toys.net()', 'logits.', 'body.', NAMES))

    def arguments(self, backbone, counts):
        assert counts == (1, 1)
        return dict(width=len(backbone['stage1.0.conv.weight']))


@pytest.fixture
def toy_net(monkeypatch):
    monkeypatch.setitem(MODELS._module_dict, 'ECAToyNet', ECAToyNet)
    with_toys = (*families.FAMILIES, ToyNet())  # as if its file were in eca_mm/checkpoints/families
    for module in (families, keys):
        monkeypatch.setattr(module, 'FAMILIES', with_toys)
    monkeypatch.setattr(keys, 'LAYOUTS', (*keys.LAYOUTS, *ToyNet.layouts))
    backbone = ECAToyNet(8, (3, 5)).state_dict()
    return {f'backbone.{key}': value for key, value in backbone.items()} | {
        'head.fc.weight': torch.rand(2, 8), 'head.fc.bias': torch.rand(2),
    }  # fmt: skip


def test_comes_and_goes(toy_net):
    result = convert_state({
        key.replace('backbone.stage1.0', 'body.first').replace('backbone.stage2.0', 'body.second')
        .replace('head.fc', 'logits'): value for key, value in toy_net.items()
    })  # fmt: skip
    assert (result.source, result.network.classes) == ('toys', 2)
    assert result.code == "backbone=dict(type='eca_mm.ECAToyNet', width=8, kernel_size=(3, 5))"
    assert result.keys.tensors.keys() == toy_net.keys()
    back = convert_state(toy_net, to='toys')
    assert back.code == 'toys.net()' and list(back.keys.tensors) == list(result.keys.names)
    assert convert_state(toy_net, to='backbone').keys.tensors.keys() == ECAToyNet(8, (3, 5)).state_dict().keys()


def test_is_refused_where_it_does_not_fit(toy_net):
    with pytest.raises(ValueError, match=r'1 missing: backbone\.stage2\.0\.conv\.bias'):
        convert_state({key: value for key, value in toy_net.items() if key != 'backbone.stage2.0.conv.bias'})
    with pytest.raises(ValueError, match='ToyNet is not converted to timm, only to mmpretrain, backbone, toys'):
        convert_state(toy_net, to='timm')
