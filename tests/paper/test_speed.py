"""Which models are timed, and how the benchmark's files come into the tables."""

import re
import sys

import pytest

from eca_mm.analysis.speed import BenchmarkReport, Line
from eca_mm.analysis.workload import BenchmarkSettings
from eca_mm.paper import TABLES, beside_the_paper
from eca_mm.paper.benchmark_models import benchmark_models
from eca_mm.paper.speed import measure_speed

KEY = 'table2', 'imagenet/eca_resnet50', 'Training'


class TestBenchmarkModels:
    def test_default_is_all_of_table_2_and_timm(self):
        names = [c.name for c in benchmark_models()]
        assert {f'imagenet/{a}resnet{n}' for a in ('', 'se_', 'eca_') for n in (50, 101, 152)} <= set(names)
        assert {f'timm/{a}resnet{n}' for a in ('', 'se', 'eca') for n in (50, 101, 152)} <= set(names)
        assert not [n for n in names if 'rcnn' in n]
        assert not [c.name for c in benchmark_models(peers=False) if c.name.startswith('timm/')]
        detectors = {c.name for c in benchmark_models(detectors=True) if c.detector}
        assert detectors == {row.config for row in TABLES['table4'].rows}

    def test_a_name_brings_its_plain_network(self):
        names = ['configs/imagenet/eca_resnet50.py', 'timm/ecaresnet101', 'faster_rcnn_se_r50_fpn_1x']
        chosen = benchmark_models(names)
        assert {c.name: c.baseline for c in chosen} == {
            'imagenet/resnet50': 'imagenet/resnet50',
            'imagenet/eca_resnet50': 'imagenet/resnet50',
            'faster_rcnn_r50_fpn_1x': 'faster_rcnn_r50_fpn_1x',
            'faster_rcnn_se_r50_fpn_1x': 'faster_rcnn_r50_fpn_1x',
            'timm/resnet101': 'timm/resnet101',
            'timm/ecaresnet101': 'timm/resnet101',
        }

    def test_without_timm(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'timm', None)
        assert not [c.name for c in benchmark_models() if c.name.startswith('timm/')]
        with pytest.raises(ValueError, match='timm/resnet50 needs timm'):
            benchmark_models(['timm/resnet50'])

    @pytest.mark.parametrize(('name', 'sentence'), [
        ('imagenet/ecaresnet50', "unknown model 'imagenet/ecaresnet50': did you mean imagenet/eca_resnet50"),
        ('zzz', "unknown model 'zzz': choose from imagenet/resnet50, "),
    ])  # fmt: skip
    def test_wrong_name(self, name, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            benchmark_models([name])


@pytest.fixture
def written(tmp_path):
    """A file as the benchmark writes it, with made-up speeds."""
    lines = [
        Line('imagenet/resnet50', 'train', 'imagenet/resnet50', 10, 9, 11, 1, 1, 1),
        Line('imagenet/eca_resnet50', 'train', 'imagenet/resnet50', 8, 7, 9, 0.8123, 0.79, 0.82, None, 12.5),
        Line('imagenet/eca_resnet50', 'inference', 'imagenet/resnet50', 8, 7, 9, 0.95, 0.94, 0.96),
        Line('timm/ecaresnet50', 'train', 'timm/resnet50', 8, 7, 9, 0.8, 0.79, 0.82),
        Line('faster_rcnn_eca_r50_fpn_1x', 'train', 'faster_rcnn_r50_fpn_1x', 8, 7, 9, 0.9, 0.89, 0.92),
    ]
    report = BenchmarkReport(tmp_path / 'speed.csv', BenchmarkSettings(compile=True).header(), lines)
    report.write()
    return report.file


class TestMeasureSpeed:
    def test_round_trip(self, written):
        ours, problems = measure_speed(TABLES.values(), [written])
        assert not problems and set(ours) == {
            ('table2', 'imagenet/resnet50', 'Training'),
            ('table2', 'imagenet/eca_resnet50', 'Training'),
            ('table2', 'imagenet/eca_resnet50', 'Inference'),
            ('table4', 'faster_rcnn_eca_r50_fpn_1x', 'Training'),
        }
        assert (ours[KEY].raw, ours[KEY].text, ours[KEY].comparable) == (0.8123, '0.81', False)
        assert ours[KEY].source == f'measured before ({written.name})'
        assert re.fullmatch(r'on CPU .+, float32, contiguous, compiled, batch 8; the paper: RTX 2080Ti', ours[KEY].note)
        cells = {(c.row, c.column): c for c in beside_the_paper([TABLES['table2']], ours)}
        training = cells['imagenet/eca_resnet50', 'Training']
        assert (training.paper, training.ours, training.status) == ('0.77', '0.81', 'not comparable')

    def test_the_last_file_counts(self, written, tmp_path):
        later = tmp_path / 'later.csv'
        later.write_text(written.read_text().replace('0.8123', '0.5'))
        assert measure_speed([TABLES['table2']], [written, later])[0][KEY].raw == 0.5
        assert measure_speed([TABLES['table2']], [later, written])[0][KEY].raw == 0.8123

    @pytest.mark.parametrize(('old', 'new'), [
        ('# layout: contiguous\n', ''), ('model,mode,', 'network,mode,'), ('0.8123', 'fast'), ('inference', 'test'),
        (',0.95,0.94,0.96,,', ''),
    ])  # fmt: skip
    def test_a_malformed_or_missing_file_leaves_the_others(self, written, tmp_path, old, new):
        malformed, missing, text = tmp_path / 'malformed.csv', tmp_path / 'none.csv', written.read_text()
        assert old in text
        malformed.write_text(text.replace(old, new))
        found, problems = measure_speed([TABLES['table2']], [malformed, missing, written])
        assert problems[0].startswith(str(malformed)) and KEY in found
        assert problems[1:] == [f'benchmark not found: {missing}; tools/benchmark.py writes such files']
