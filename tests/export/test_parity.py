"""Exported networks against PyTorch: what is found to differ, and what would prove nothing."""

import pytest
import torch

from eca_mm.engine.model import model_of
from eca_mm.export import export
from eca_mm.export.exported_part import ExportedPart, load_part
from eca_mm.export.parity import max_difference, reference_outputs
from tests.support import randomize

SHAPE = (1, 3, 64, 64)


@pytest.fixture
def weights(detector, tmp_path):
    """Boxes up to 0.01 beside features up to 40, as of a new head."""
    weights = randomize(model_of(detector, None, 'none')).state_dict()
    for name in ('weight', 'bias'):
        weights[f'rpn_head.rpn_reg.{name}'] *= 1e-3
    torch.save(weights, tmp_path / 'x.pth')
    return str(tmp_path / 'x.pth')


def test_every_output_is_held_to_its_own_values(detector, weights):
    """One number in one output is off, relative to that output's greatest value; or it is NaN, or too few."""
    expected = reference_outputs(load_part(detector, weights, 'dense')[0], SHAPE)
    assert expected['bbox_3'].abs().max() < 0.1 < 1 < expected['feature_0'].abs().max()
    for name in ('feature_0', 'cls_0', 'bbox_3'):
        wrong = {key: tensor.clone() for key, tensor in expected.items()}
        greatest = expected[name].abs().max().item()
        wrong[name].view(-1)[5] += 2e-4 * greatest
        found = max_difference(expected, lambda images, wrong=wrong: [*wrong.values()], SHAPE)
        assert found.output == name and found.relative == pytest.approx(2e-4, rel=1e-2)
        assert found.largest == pytest.approx(2e-4 * greatest, rel=1e-2) and f'in {name}, 2.0e-04 of' in str(found)
    *others, last = expected.values()
    for wrong in (last * float('nan'), last[..., 1:]):
        found = max_difference(expected, lambda images, wrong=wrong: [*others, wrong], SHAPE)
        assert found.output == 'bbox_3' and found.largest == found.relative == float('inf')


def test_a_small_output_that_is_wrong_is_not_exported(detector, weights, tmp_path, monkeypatch):
    """By 8 %, in boxes that are far smaller than the features."""
    forward = ExportedPart.forward
    monkeypatch.setattr(ExportedPart, 'forward', lambda self, x: (*(y := forward(self, x))[:-1], y[-1] * 1.08))
    with pytest.raises(ValueError, match=r'differs from PyTorch by .* in bbox_3, 8\.0e-02 of its greatest value'):
        export(detector, weights, tmp_path / 'x.ts', part='dense', size=(64, 64), rounds=0)
    assert [f.name for f in tmp_path.iterdir()] == ['x.pth']


@pytest.mark.parametrize(('bias', 'sentence'), [
    (0, r'is not finite, or does not depend on the images \(values up to 0\.0e\+00\).*: choose'),
    (1, r'is not finite, or does not depend on the images \(values up to 1\.0e\+00\).*: choose'),
    (float('inf'), r'is not finite, or does not depend on the images \(values up to inf\)'),
])  # fmt: skip
def test_dead_weights(classifier, bias, sentence):
    """Any two networks agree whose outputs are 0, or a bias."""
    network, _ = load_part(classifier, 'none', 'model')
    network.head.fc.weight.zero_(), network.head.fc.bias.fill_(bias)
    with pytest.raises(ValueError, match=f'output logits {sentence}'):
        reference_outputs(network, SHAPE)
