"""tools/reproduce.py from end to end, started as a user starts it."""

import json

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from eca_mm.engine import load_config
from eca_mm.paper import TABLES
from tests.support import REPOSITORY, succeeded


class TestReproduce:
    def test_all(self, run_tool, tmp_path):
        """Every number of the paper is in the file; what needs no data is measured; the report is written."""
        process = run_tool(
            'reproduce', 'all', '--json', tmp_path / 'all.json', '--report', tmp_path / 'report', '--check'
        )
        screen = succeeded(process)
        cells = json.loads((tmp_path / 'all.json').read_text())
        cell = next(c for c in cells if (c['row'], c['column']) == ('faster_rcnn_eca_r50_fpn_1x', 'GFLOPs'))
        assert (cell['paper'], cell['ours'], cell['status']) == ('207.18', '207.18', 'match')
        assert cell['raw'] == 207181960372 and cell['source'] == 'measured now'
        printed = sum(n is not None for table in TABLES.values() for row in table.rows for n in row.printed.values())
        assert sum(c['paper'] is not None for c in cells) == printed
        assert 'Table 5: Instance segmentation' in screen and '320.0' in screen
        assert {f.name for f in (tmp_path / 'report').iterdir()} == {
            'index.html', 'report.csv', 'report.json', 'report.md'
        }  # fmt: skip

    @pytest.mark.slow
    def test_checkpoints_are_evaluated(self, run_tool, imagenet_root, tmp_path):
        """One that fits, one of another network, half of one: the first is measured, the others are two sentences."""
        work = tmp_path / 'work_dirs'
        for name in ('mobilenet_v2', 'se_mobilenet_v2', 'eca_mobilenet_v2'):
            (work / name).mkdir(parents=True)
        cfg = load_config(REPOSITORY / 'configs/imagenet/mobilenet_v2.py')
        init_default_scope('mmpretrain')
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), work / 'mobilenet_v2/epoch_400.pth')
        whole = (work / 'mobilenet_v2/epoch_400.pth').read_bytes()
        (work / 'se_mobilenet_v2/epoch_400.pth').write_bytes(whole)
        (work / 'eca_mobilenet_v2/epoch_400.pth').write_bytes(whole[: len(whole) // 2])
        process = run_tool(
            'reproduce', 'table2', '--only', 'accuracy', '--work-dirs', work, '--run', '--data-root', imagenet_root,
            '--json', tmp_path / 'cells.json',
        )  # fmt: skip
        assert process.returncode == 1 and 'Traceback' not in process.stderr, process.stderr[-3000:]
        errors = [line for line in process.stderr.splitlines() if line.startswith('error: ')]
        assert len(errors) == 2
        assert 'imagenet/se_mobilenet_v2' in errors[0] and 'does not fit' in errors[0]
        assert 'imagenet/eca_mobilenet_v2: no checkpoint in' in errors[1]
        measured = [c for c in json.loads((tmp_path / 'cells.json').read_text()) if c['ours']]
        assert [(c['row'], c['column'], c['status']) for c in measured] == [
            ('imagenet/mobilenet_v2', 'Top-1', 'not comparable'),
            ('imagenet/mobilenet_v2', 'Top-5', 'not comparable'),
        ]
        assert 'on 1000 images' in measured[0]['note'] and measured[0]['source'].startswith('measured now (')

    def test_check(self, run_tool, tmp_path):
        folder = tmp_path / 'faster_rcnn_eca_r50_fpn_1x'
        folder.mkdir()
        options = ['table4', '--only', 'accuracy', '--work-dirs', tmp_path, '--check']
        for ap, code in ((0.382, 0), (0.361, 1)):
            metrics = dict(images=5000, metrics={'coco/bbox_mAP': ap}, checkpoint='epoch_12.pth')
            (folder / 'metrics.json').write_text(json.dumps(metrics))
            process = run_tool('reproduce', *options)
            assert process.returncode == code, process.stderr
        assert '-1.9' in process.stdout and 'checked: 1 numbers, 1 off' in process.stdout

    @pytest.mark.parametrize(('arguments', 'parts'), [
        (['tabel4'], ["'tabel4'", "did you mean 'table4'"]),
        (['table4', '--work-dirs', 'nowhere'], ['nowhere']),
        (['table2', '--speed', 'nowhere.csv'], ['nowhere.csv']),
        (['table4', '--predictions', 'x=y.json'], ['--ann-file']),
        (['table4', '--data-root', 'x'], ['--run']),
        (['table4', '--report', '/dev/null/x'], ['cannot write /dev/null/x/report.md']),
        (['all', '--write-index', '--work-dirs', 'nowhere'], ['measured/NAME/']),
        (['table4', '--json', '/dev/null/x'], ['cannot write /dev/null/x']),
    ])  # fmt: skip
    def test_wrong_options(self, refuse, arguments, parts):
        sentence = refuse('reproduce', *arguments, '--only', 'accuracy' if '--speed' not in arguments else 'speed')
        assert all(part in sentence for part in parts), sentence
