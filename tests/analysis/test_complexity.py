"""The counts of parameters and operations, by hand and against mmcv's own."""

import sys
from importlib.util import find_spec

import pytest
import torch
from mmcv.cnn import get_model_complexity_info
from torch import nn

from eca_mm.analysis.complexity import MMCV, THOP, count_modules, count_operators, parameters
from eca_mm.errors import UserError
from eca_mm.models import AttentionResNet, ECALayer, ECAResNet


def test_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), ECALayer(8, 3))
    image = torch.empty(2, 3, 10, 10, device='meta')
    model.to('meta')
    macs, elements, eca = 2 * 8 * 25 * 27, 2 * 8 * 25, 2 * 8 * 3
    thop = count_modules(model, lambda: model(image), THOP)
    assert thop == macs + 4 * elements + elements + elements + eca
    mmcv = count_modules(model, lambda: model(image), MMCV)
    assert mmcv == macs + elements + 2 * elements + elements + elements + eca
    if find_spec('torch.utils.flop_counter'):  # from torch 2.1 on
        assert count_operators(lambda: model.eval()(image)) == macs + eca
    assert parameters(model) == 3 * 8 * 9 + 8 + 16 + 3


def test_shared_modules():
    relu, x = nn.ReLU(), torch.empty(1, 4, device='meta')
    model = nn.Sequential(nn.Linear(4, 8, device='meta'), relu, nn.Linear(8, 2, device='meta'), relu, nn.Tanh())
    linear = 4 * 8 + 8 * 2
    assert count_modules(model, lambda: model(x), MMCV) == linear + 8 + 2  # both calls of the ReLU, and none of Tanh
    assert count_modules(model, lambda: model(x), THOP) == 2 * linear - 8 - 2 + 2  # its last call


def test_mmcv_s_own_counter_agrees():
    model = AttentionResNet(50)
    theirs, _ = get_model_complexity_info(model, (3, 64, 96), print_per_layer_stat=False, as_strings=False)
    image = torch.empty(1, 3, 64, 96, device='meta')
    model.to('meta')
    assert count_modules(model, lambda: model(image), MMCV) == theirs


def test_hooks_are_removed():
    model = ECAResNet(18)
    with pytest.raises(ZeroDivisionError):
        count_modules(model, lambda: 1 / 0, THOP)
    assert not any(m._forward_hooks for m in model.modules())


def test_operators_are_not_counted_on_torch_2_0(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch.utils.flop_counter', None)
    with pytest.raises(UserError, match=f'torch 2.1.* {torch.__version__.split("+")[0]}'):
        count_operators(lambda: None)
