"""``tools/reproduce.py all``, from end to end."""

from eca_mm.paper import TABLES


def test_all(reproduced):
    """Every number of the paper is in the file; what needs no data is measured; the report is written."""
    records = reproduced.records
    assert list(records[0]) == ['table', 'row', 'column', 'paper', 'ours', 'raw', 'status', 'source', 'note']
    cell = next(c for c in records if (c['row'], c['column']) == ('faster_rcnn_eca_r50_fpn_1x', 'GFLOPs'))
    assert (cell['paper'], cell['ours'], cell['status']) == ('207.18', '207.18', 'match')
    assert cell['raw'] == 207181960372 and cell['source'] == 'measured now'
    printed = sum(n is not None for table in TABLES.values() for row in table.rows for n in row.printed.values())
    assert sum(c['paper'] is not None for c in records) == printed
    assert 'Table 5: Instance segmentation' in reproduced.screen and '320.0' in reproduced.screen
    assert reproduced.screen.endswith('checked: 58 numbers, 0 off\n')
    assert {f.name for f in (reproduced.folder / 'report').iterdir()} == {
        'index.html', 'report.csv', 'report.json', 'report.md'
    }  # fmt: skip
