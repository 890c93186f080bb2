"""Exported networks against PyTorch: what is found to differ, and what would prove nothing."""

import pytest
import torch

from eca_mm.engine.model import load_model
from eca_mm.export import ExportSettings, export
from eca_mm.export.exported_part import ExportedPart, load_part
from eca_mm.export.parity import max_difference, reference_outputs
from tests.support import randomize

SHAPE = (1, 3, 64, 64)
SETTINGS = ExportSettings(size=(64, 64), rounds=0)


@pytest.fixture(scope='module')
def expected(detector):
    network, _ = load_part(detector, 'none', 'dense')
    with torch.no_grad():
        for level in network.head.rpn_reg.parameters():
            level.mul_(1e-3)  # as of a new head: boxes up to 0.01 beside features up to 40
    return reference_outputs(network, SHAPE)


@pytest.mark.parametrize('name', ['feature_0', 'cls_0', 'bbox_3'])
def test_every_output_is_held_to_its_own_values(expected, name):
    """One number in one output is off, relative to that output's greatest value."""
    wrong = {key: tensor.clone() for key, tensor in expected.items()}
    greatest = expected[name].abs().max().item()
    wrong[name].view(-1)[5] += 2e-4 * greatest
    found = max_difference(expected, lambda images: [*wrong.values()], SHAPE)
    assert found.output == name and found.relative == pytest.approx(2e-4, rel=1e-2)
    assert found.largest == pytest.approx(2e-4 * greatest, rel=1e-2) and f'in {name}, 2.0e-04 of' in str(found)
    assert expected['bbox_3'].abs().max() < 0.02 < 1 < expected['feature_0'].abs().max()


def test_nan_and_other_shapes(expected):
    outputs = [*expected.values()]
    for wrong in (outputs[-1] * float('nan'), outputs[-1][..., 1:]):
        found = max_difference(expected, lambda images, wrong=wrong: [*outputs[:-1], wrong], SHAPE)
        assert found.output == 'bbox_3' and found.largest == found.relative == float('inf')


def test_a_small_output_that_is_wrong_is_not_exported(detector, tmp_path, monkeypatch):
    """By 8 %, in boxes that are far smaller than the features."""
    model = randomize(load_model(detector, None, 'none'))
    model.rpn_head.rpn_reg.weight.data *= 1e-3
    torch.save(model.state_dict(), tmp_path / 'x.pth')
    forward = ExportedPart.forward

    def wrong(self, images):
        *others, last = forward(self, images)
        return *others, last * 1.08

    monkeypatch.setattr(ExportedPart, 'forward', wrong)
    settings = ExportSettings(part='dense', size=(64, 64), rounds=0)
    with pytest.raises(ValueError, match=r'differs from PyTorch by .* in bbox_3, 8\.0e-02 of its greatest value'):
        export(detector, str(tmp_path / 'x.pth'), tmp_path / 'x.ts', settings)
    assert [f.name for f in tmp_path.iterdir()] == ['x.pth']


@pytest.mark.parametrize('bias', [0, 1])
def test_dead_weights(classifier, tmp_path, bias):
    """Any two networks agree whose outputs are 0, or a bias."""
    weights = {key: value * 0 for key, value in load_model(classifier, None, 'none').state_dict().items()}
    weights['head.fc.bias'] += bias
    torch.save(weights, tmp_path / 'dead.pth')
    sentence = rf'output logits does not depend on the images \(values up to {bias}\.0e\+00\).*: choose'
    with pytest.raises(ValueError, match=sentence):
        export(classifier, str(tmp_path / 'dead.pth'), tmp_path / 'x.ts', SETTINGS)
    assert [f.name for f in tmp_path.iterdir()] == ['dead.pth']


def test_overflow(classifier):
    network, _ = load_part(classifier, 'none', 'model')
    network.head.fc.weight.data.fill_(3e38)
    with pytest.raises(ValueError, match='output logits is not finite'):
        reference_outputs(network, SHAPE)
