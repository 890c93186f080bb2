"""The configs of docs/your-dataset.md, as they stand there: short, read by the doctor, trained."""

import re
import warnings

import pytest
from mmengine.config import Config

from eca_mm.cli.flags import name_flags
from eca_mm.engine import load_config, train
from eca_mm.engine.doctor import inspect
from tests.checks import faults
from tests.support import REPOSITORY

PAGE = (REPOSITORY / 'docs/your-dataset.md').read_text()
DETECTOR, CLASSIFIER = re.findall(r'^```python\n(.*?)^```', PAGE, flags=re.DOTALL | re.MULTILINE)
SMALL = {'model.backbone.depth': 18, 'model.backbone.kernel_size': 3, 'model.backbone.init_cfg': None}
SMALL |= {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, 'images_per_step': 2}
SMALL |= {f'{kind}_dataloader.{key}': value for kind in ('train', 'val')
          for key, value in dict(num_workers=0, persistent_workers=False, batch_size=2).items()}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Saves a config beside a clone, as the page says; has the doctor look at it, and trains it in small."""

    def start(text, **changes):
        assert len(text.splitlines()) <= 15
        monkeypatch.chdir(tmp_path)
        (tmp_path / 'configs').symlink_to(REPOSITORY / 'configs')
        (tmp_path / 'mine.py').write_text(text)
        for found in inspect(load_config('mine.py')):
            assert not found.findings.places and '3 images' in found.contents
        cfg = load_config('mine.py', cfg_options=SMALL | changes)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return train(cfg)

    return start


def test_coco(run, tmp_path):
    for split in ('train', 'val'):
        faults.write_split(tmp_path / 'data/pets', split, faults.coco(3))
    small = {f'{kind}_dataloader.dataset.pipeline.{i}.scale': (64, 64) for kind, i in (('train', 2), ('val', 1))}
    small |= {'model.backbone.norm_eval': False, 'model.backbone.frozen_stages': -1}
    small |= {'model.neck.in_channels': [64, 128, 256, 512], 'model.test_cfg.rcnn.score_thr': 0.0}
    summary = run(DETECTOR, **small)
    assert 'coco/bbox_mAP' in summary.metrics
    written = Config.fromfile(tmp_path / 'work_dirs/mine/mine.py', import_custom_modules=False)
    assert written.model.roi_head.bbox_head.num_classes == 3
    assert written.train_dataloader.dataset.metainfo.classes == faults.CLASSES
    assert written.val_evaluator.ann_file == 'data/pets/val.json'


def test_folders(run, tmp_path):
    for split in ('train', 'val'):
        for name in faults.CLASSES:
            faults.write_image(tmp_path / 'data/pets' / split / name / '1.png')
    summary = run(CLASSIFIER, **{'model.head.in_channels': 512})
    assert set(summary.metrics) == {'accuracy/top1'}


def test_the_doctors_words(tmp_path, monkeypatch):
    """Those that the page shows are what it prints."""
    monkeypatch.chdir(tmp_path)
    content = faults.coco(2)
    content['annotations'] = [faults.annotation(1, 1, category_id=1), faults.annotation(2, 2, category_id=2)]
    content['annotations'][0]['bbox'] = [100, 4, 20, 16]
    for split in ('train', 'val'):
        faults.write_split(tmp_path / 'data/pets', split, content)
    (tmp_path / 'data/pets/train/2.png').unlink()
    config = faults.config(REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_shapes.py', 'data/pets', tmp_path / 'mine.py')
    found = next(inspect(load_config(config)))
    shown = re.search(r'\n\n((?:    .*\n)+)\nIt exits', PAGE)[1]
    said = name_flags(f'{found.name}\n  {found.contents}\n{found.findings}')
    assert re.sub('^    ', '', shown, flags=re.MULTILINE).strip() == said
