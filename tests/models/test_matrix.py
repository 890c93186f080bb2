"""Some of the combinations of tests/models/matrix.py, and its table in docs/backbones.md."""

import itertools
import re

import pytest
import torch

from eca_mm.checkpoints.weights import EmptyOnMeta
from tests.models.matrix import BACKBONES, LAYERS, Network, compiles, trains
from tests.support import REPOSITORY

# Each layer once, on the backbones in turn.
PAIRS = list(zip(itertools.cycle(BACKBONES), LAYERS, strict=False))
IMAGES = torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(('backbone', 'layer'), PAIRS)
def test_trains(backbone, layer):
    """Forward and backward: each weight, of the layers too, gets a gradient."""
    network = Network(layer, backbone, short=True)
    trains(network, IMAGES if 'Inception' in backbone else IMAGES[..., :64, :64])


def test_is_one_graph():
    """By hooks behind modules; tests/models/test_fused.py has slots."""
    compiles(Network('CBAMLayer', 'DenseNet-121', short=True).eval(), IMAGES[..., :64, :64], 'aot_eager')
    torch.compiler.reset()


def test_the_table():
    table = re.search(r'\| layer (\|.*)\n\|.*\n((?:\| `.*\n)+)', (REPOSITORY / 'docs/backbones.md').read_text())
    rows = [[cell.strip(' `') for cell in row.strip('|').split('|')] for row in table[2].splitlines()]
    assert [name.strip() for name in table[1].strip('|').split('|')] == [*BACKBONES]
    assert [row[0] for row in rows] == [*LAYERS]
    for number, (layer, *cells) in enumerate(rows):
        assert len(cells) == len(BACKBONES)
        for i in {0, number % len(BACKBONES)}:  # all would take a minute
            with EmptyOnMeta():
                weights = Network(layer, [*BACKBONES][i]).parameters()
            assert cells[i] == f'{sum(p.numel() for p in weights) / 1e6:.2f}'
