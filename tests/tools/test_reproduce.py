"""tools/reproduce.py from end to end."""

import json

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from eca_mm.engine import evaluate, load_config
from tests.support import REPOSITORY


class TestReproduce:
    def test_checkpoints_are_evaluated(self, in_process, imagenet_root, tmp_path, monkeypatch, capsys):
        """One that fits, one of another network, half of one: the first is measured, the others are two sentences."""

        def on_twenty_images(cfg, checkpoint):
            cfg.test_dataloader.dataset.indices = 20
            evaluate(cfg, checkpoint)

        monkeypatch.setattr('eca_mm.engine.evaluate', on_twenty_images)
        work = tmp_path / 'work_dirs'
        for name in ('mobilenet_v2', 'se_mobilenet_v2', 'eca_mobilenet_v2'):
            (work / name).mkdir(parents=True)
        cfg = load_config(REPOSITORY / 'configs/imagenet/mobilenet_v2.py')
        init_default_scope('mmpretrain')
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), work / 'mobilenet_v2/epoch_400.pth')
        whole = (work / 'mobilenet_v2/epoch_400.pth').read_bytes()
        (work / 'se_mobilenet_v2/epoch_400.pth').write_bytes(whole)
        (work / 'eca_mobilenet_v2/epoch_400.pth').write_bytes(whole[: len(whole) // 2])
        with pytest.raises(SystemExit) as end:
            in_process(
                'reproduce', 'table2', '--only', 'accuracy', '--work-dirs', work, '--run', '--data-root', imagenet_root,
                '--json', tmp_path / 'cells.json',
            )  # fmt: skip
        assert end.value.code == 1
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
        assert len(errors) == 2
        assert 'imagenet/se_mobilenet_v2' in errors[0] and 'the model has a MobileNetV2 with SE' in errors[0]
        assert 'imagenet/eca_mobilenet_v2: no checkpoint in' in errors[1]
        measured = [c for c in json.loads((tmp_path / 'cells.json').read_text()) if c['ours']]
        assert [(c['row'], c['column'], c['status']) for c in measured] == [
            ('imagenet/mobilenet_v2', 'Top-1', 'not comparable'),
            ('imagenet/mobilenet_v2', 'Top-5', 'not comparable'),
        ]
        assert 'on 20 images' in measured[0]['note'] and measured[0]['source'].startswith('measured now (')

    @pytest.mark.parametrize(('arguments', 'part'), [
        ('tabel4', "no table 'tabel4': there are table1, table2"),
        ('table4 --only accuracy --work-dirs nowhere', 'no folder of work directories: nowhere'),
        ('table4 --predictions x=y.json', '--predictions is for --ann-file, which is missing'),
        ('table4 --ann-file y.json', '--ann-file is for --predictions'),
        ('table4 --data-root x', '--data-root is for --run'),
        ('table4 --run', '--run is for --work-dirs'),
        ('table4 --only accuracy --speed x.csv', '--only accuracy leaves out what --speed gives'),
        ('table2 --only speed --speed nowhere.csv', 'benchmark not found: nowhere.csv'),
        ('table4 --only accuracy --report /dev/null/x', '/dev/null/x/report.md cannot be written'),
        ('table4 --only accuracy --json /dev/null/x', '/dev/null/x cannot be written'),
        ('all --only accuracy --write-index --work-dirs nowhere', 'measured/NAME/'),
        ('all --only accuracy --write-index', 'needs a checkout, and all tables'),
        ('table4 --write-index', 'needs a checkout, and all tables'),
        ('all --write-index --speed x.csv', 'CSVs of speeds to'),
    ])  # fmt: skip
    def test_wrong_options(self, refuse, arguments, part):
        assert part in refuse('reproduce', *arguments.split())
