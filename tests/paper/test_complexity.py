"""The counts of the papers' rows against what is printed."""

import re

import pytest

from eca_mm.models import ECALayer
from eca_mm.paper import TABLES, beside_the_paper
from eca_mm.paper.cells import number
from eca_mm.paper.complexity import build_on_meta, measure_complexity


def test_every_printed_number(cells):
    """To the last digit, but for those whose reasons are known, and these within 2 %."""
    names = ('Param.', 'FLOPs', 'GFLOPs')
    printed = [c for c in cells if c.column in names]
    assert len(printed) == 10 + 18 * 2 + 12 * 2
    explained = {place for table in TABLES.values() for place in table.explained}
    assert {(c.row, c.column, c.ours) for c in printed if c.status != 'match'} == explained
    others = [c for c in printed if c.status != 'match']
    assert all(c.status == 'differ' and not c.is_failure for c in others)
    assert {c.row for c in others if not c.note.startswith('copied from')} == {
        'imagenet/se_mobilenet_v2',
        'imagenet/cbam_resnet101',
    }
    assert all(abs(number(c.ours) / number(c.paper) - 1) < 0.02 for c in others)


@pytest.mark.parametrize('row', TABLES['figure4'].rows, ids=lambda row: row.config)
def test_figure_4_has_its_kernels(row):
    kernels = {m.conv.kernel_size[0] for m in build_on_meta(row).modules() if isinstance(m, ECALayer)}
    fixed = re.search(r'k=(\d)', row.method)
    assert kernels == ({int(fixed[1])} if fixed else {3, 5, 7} if 'ECA' in row.method else set())


def test_table_1_needs_its_layers(monkeypatch):
    monkeypatch.setattr('eca_mm.paper.complexity.attention_layers', lambda model: [])
    cells = beside_the_paper([TABLES['table1']], measure_complexity([TABLES['table1']])[0])
    assert [c.row for c in cells if c.status == 'match'] == ['imagenet/resnet50']
