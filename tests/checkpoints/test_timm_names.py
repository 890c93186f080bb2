"""The table of timm's ECA networks in docs/weights.md is what happens to each of them."""

import re

import timm
import torch

from eca_mm.checkpoints.files import Weights
from eca_mm.convert.checkpoint import convert_weights
from tests.support import REPOSITORY

DOCS = REPOSITORY / 'docs/weights.md'


def outcome(name):
    with torch.device('meta'):
        state = timm.create_model(name).state_dict()
    try:
        code = convert_weights(Weights(state)).code
    except ValueError as error:
        reason = re.sub(r'these are (not the weights of a) .* as mmdet.*', r'\1 network that is known here', str(error))
        return f'no: {reason}'
    return f'**yes**: `{code}`'


def test_the_table():
    weights = {}
    for name in timm.list_pretrained('*eca*'):
        model, _, tag = name.partition('.')
        weights.setdefault(model, []).append(f'`{tag}`')
    rows = [f'| `{n}` | {", ".join(weights.get(n, ["none"]))} | {outcome(n)} |' for n in timm.list_models('*eca*')]
    table = re.search(r'\| timm .*\n\|---.*\n((?:\|.*\n)*)', DOCS.read_text())
    expected = '\n'.join(rows)
    assert table and table[1].rstrip() == expected, f'docs/weights.md should have:\n{expected}'
    for name in re.findall(r'`timm://(\w+)\.(\w+)`', DOCS.read_text()):
        assert f'`{name[1]}`' in weights[name[0]]
