"""The tables against the text of the paper, and the proof that a table of another paper is one file."""

import json
import re

import pytest

from eca_mm.paper import TABLES, beside_the_paper, tables
from eca_mm.paper.accuracy import measure_work_dirs
from eca_mm.paper.complexity import measure_complexity
from eca_mm.paper.index import RESULTS, index_files
from eca_mm.paper.reproduce import select_tables
from tests.support import REPOSITORY, quietly

PAPER = REPOSITORY.parent / 'shared/paper/eca-net.txt'
needs_paper = pytest.mark.skipif(not PAPER.is_file(), reason=f'no text of the paper at {PAPER}')


@needs_paper
@pytest.mark.parametrize(('name', 'head'), [
    ('table1', 'Methods\tAttention'), ('table2', 'Method\tBackbone'),
    ('table4', 'Methods\tDetectors'), ('table5', 'Methods\tAP'),
])  # fmt: skip
def test_numbers_are_the_paper_s(name, head):
    """Line by line below the table's heading in the text: the method's name, and all the numbers at the end."""
    lines = PAPER.read_text().replace(' M\t', 'M\t').splitlines()
    (start,) = (i for i, line in enumerate(lines) if line.startswith(head))
    rows = TABLES[name].rows
    for row, line in zip(rows, lines[start + 1 : start + 1 + len(rows)], strict=True):
        units = [' FPS' if column in ('Training', 'Inference') else '' for column in row.printed]
        wanted = [f'{n}{u}' if n else 'N/A' for n, u in zip(row.printed.values(), units, strict=True)]
        method, *found = line.split('\t')
        assert re.sub(r'[$^ ]', '', method).startswith(row.method.replace(' ', '')), (row, line)
        if name == 'table1':  # a formula
            found[1] = re.sub(r'[${}()]', '', found[1]).replace('\\times', '*').replace(' ', '')
            found[1] = {'kC': 'k*C', 'k=3': 'k'}.get(found[1], found[1])
        assert found[-len(wanted) :] == wanted
    assert '\t' not in lines[start + 1 + len(rows)]


@needs_paper
def test_table_3_is_the_paper_s():
    text = PAPER.read_text().partition('Table 3: ')[2].partition('Top-5\n')[2]
    assert [r.printed['Top-5'] for r in TABLES['table3'].rows] == re.findall(r'(\d\d\.\d\d)$', text[:60], re.M)


def test_columns_of_the_same_experiment_agree():
    of_table_2 = {row.config: row.printed for row in TABLES['table2'].rows}
    for row in TABLES['table3'].rows:
        assert of_table_2.get(row.config, row.printed)['Top-5'] == row.printed['Top-5']


def test_every_row_has_its_config():
    assert not [row.config for table in TABLES.values() for row in table.rows if not row.file.is_file()]


def test_select():
    with pytest.raises(ValueError, match="no table 'tabel4': there are table1, table2"):
        select_tables(['table1', 'tabel4'])
    assert [t.name for t in select_tables(['all'])] == list(TABLES)


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
    assert reproduced.screen.endswith('checked: 70 numbers, 0 off\n')
    assert {f.name for f in (reproduced.folder / 'report').iterdir()} == {
        'index.html', 'report.csv', 'report.json', 'report.md'
    }  # fmt: skip


OTHER_PAPER = '''
from eca_mm.paper.complexity import count_classifier
from eca_mm.paper.table import ACCURACY, COMPLEXITY, Paper, Plot, table

PAPER = Paper('Small', 'A. Author', 'A Small Paper', 'SomeConf 2021', 'https://example.org', architectures=('MobileNetV2',))
TABLES = (
    table('Small, Table 7', 'Two networks', PAPER, {COMPLEXITY: 'Param. FLOPs', ACCURACY: 'Top-1'}, """
        [MobileNetV2]
        imagenet/mobilenet_v2      plain  3.50M  0.35G  71.0
        imagenet/eca_mobilenet_v2  ECA    3.51M  0.36G  72.6
    """, benchmark='class', count=count_classifier, timed=True, metafile='configs/small/metafile.yml',
        plot=Plot('operations', 'Accuracy', 'Figure 1.', {'ECA': 'red'})),
)
'''


class TestTableOfAnotherPaper:
    @pytest.fixture
    def other(self, tmp_path, monkeypatch):
        """One file in ``eca_mm/paper/tables``, and a training of one of its rows."""
        (tmp_path / 'small_paper.py').write_text(OTHER_PAPER)
        monkeypatch.setattr(tables, '__path__', [*tables.__path__, str(tmp_path)])
        found = tables.find_tables()
        assert found.keys() - TABLES.keys() == {'smalltable7'}
        monkeypatch.setitem(TABLES, 'smalltable7', found['smalltable7'])
        (tmp_path / 'work/eca_mobilenet_v2').mkdir(parents=True)
        (tmp_path / 'work/eca_mobilenet_v2/metrics.json').write_text(
            json.dumps(dict(images=50000, metrics={'accuracy/top1': 72.5}, checkpoint='epoch_400.pth'))
        )
        return tmp_path

    def test_is_measured_rendered_and_checked(self, other, monkeypatch, capsys):
        out = other / 'out'
        options = ['--work-dirs', other / 'work', '--check', '--json', out / 'c.json', '--report', out]
        monkeypatch.syspath_prepend(REPOSITORY / 'tools')
        monkeypatch.setattr('sys.argv', ['reproduce', 'smalltable7', *map(str, options)])
        with pytest.raises(SystemExit) as end:
            quietly(REPOSITORY / 'tools/reproduce.py')
        screen = capsys.readouterr().out
        assert end.value.code == 1
        assert 'checked: 5 numbers, 3 off' in screen and 'Small, Table 7: Two networks' in screen
        found = {(c['row'], c['column']): (c['ours'], c['status']) for c in json.loads((out / 'c.json').read_text())}
        plain, eca = 'imagenet/mobilenet_v2', 'imagenet/eca_mobilenet_v2'
        assert found[plain, 'Param.'] == ('3.50M', 'match') and found[eca, 'Param.'] == ('3.50M', 'differ')
        assert found[plain, 'FLOPs'] == ('0.33G', 'differ') and found[eca, 'Top-1'] == ('72.50', 'match')
        assert found[plain, 'Top-1'] == (None, 'not measured') and found[eca, 'GMACs'][1] == 'measured'
        assert found[eca, 'Training'][1] == 'not comparable'  # the benchmark that comes with the package
        page = (out / 'index.html').read_text()
        assert 'A. Author. <cite>A Small Paper.</cite> SomeConf 2021' in page and page.count('class="point ') == 3

    def test_is_in_the_index(self, other, cells):
        """With the paper as a collection of its own, behind the tables that are there."""
        small = [TABLES['smalltable7']]
        ours = {**measure_complexity(small)[0], **measure_work_dirs(small, other / 'work')[0]}
        files = index_files([*cells, *beside_the_paper(small, ours)])
        text = files[REPOSITORY / 'configs/small/metafile.yml']
        assert '- Name: Small' in text and text.count('In Collection: Small') == 2
        assert 'Top 1 Accuracy: 72.6' in text and 'Top 1 Accuracy: 72.5' in text
        assert '## Small, Table 7: Two networks' in files[REPOSITORY / RESULTS]
