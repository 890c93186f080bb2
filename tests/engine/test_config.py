"""Configs and command lines: what is read, changed and refused."""

import functools
import operator
import os

import mmengine.config.utils
import pytest

from eca_mm.engine import load_config
from eca_mm.errors import MissingFileError, UserError
from tests.support import REPOSITORY

CONFIG = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py'


def test_data_root_reaches_every_path(monkeypatch):
    monkeypatch.delenv('COCO_ROOT', raising=False)
    assert load_config(CONFIG).val_evaluator.ann_file == 'data/coco/annotations/instances_val2017.json'
    monkeypatch.setenv('COCO_ROOT', '/elsewhere')
    assert load_config(CONFIG).train_dataloader.dataset.data_root == '/elsewhere/'
    cfg = load_config(CONFIG, data_root='/here')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == '/here/'
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.ann_file == '/here/annotations/instances_val2017.json'


def test_data_root_replaces_the_one_of_a_config(tmp_path):
    """Which reads no variable, or has another over our base's."""
    (tmp_path / 'a.py').write_text(f"""
_base_ = {str(CONFIG)!r}
train_dataloader = dict(dataset=dict(data_root='mine/'))
val_dataloader = dict(dataset=dict(data_root='./mine'))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='mine/annotations/val.json')
test_evaluator = dict(ann_file='other/val.json')
""")
    cfg = load_config(tmp_path / 'a.py', data_root='/here')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == '/here'
    assert cfg.val_evaluator.ann_file == '/here/annotations/val.json'
    assert cfg.test_evaluator.ann_file == 'other/val.json'
    (tmp_path / 'b.py').write_text("_base_ = './a.py'\ntrain_dataloader = dict(dataset=dict(data_root='third'))")
    with pytest.raises(UserError, match=r'`data_root`.*b\.py have several roots \(mine, third\)'):
        load_config(tmp_path / 'b.py', data_root='/here')
    (tmp_path / 'c.py').write_text("model = dict(type='mmdet.FasterRCNN')")
    with pytest.raises(UserError, match=r'`data_root`.*c\.py have no data_root'):
        load_config(tmp_path / 'c.py', data_root='/here')


def test_data_root_may_have_any_name():
    root = '/o\'brien/a "quoted" place/é/back\\1slash\\'
    assert load_config(CONFIG, data_root=root).train_dataloader.dataset.data_root == root + '/'


def test_environment(monkeypatch):
    """Empty variables are none, `~` is the home, and all is as before afterwards."""
    monkeypatch.setenv('HOME', '/home/eca')
    monkeypatch.setenv('COCO_ROOT', '')
    before = dict(os.environ)
    assert load_config(CONFIG).train_dataloader.dataset.data_root == 'data/coco/'
    assert load_config(CONFIG, data_root='~/coco').train_dataloader.dataset.data_root == '/home/eca/coco/'
    monkeypatch.setenv('COCO_ROOT', '~')
    assert load_config(CONFIG).train_dataloader.dataset.data_root == '/home/eca/'
    assert os.environ == {**before, 'COCO_ROOT': '~'}


def test_options(tmp_path):
    cfg = load_config(CONFIG, cfg_options={'backbone_weights': 'x.pth', 'optim_wrapper.optimizer.lr': 0.02})
    assert cfg.model.backbone.init_cfg.checkpoint == 'x.pth' and cfg.optim_wrapper.optimizer.lr == 0.02
    assert cfg.work_dir == 'work_dirs/faster_rcnn_eca_r50_fpn_1x'
    cfg = load_config(CONFIG, cfg_options=dict(backbone_weights=None), work_dir='/x')
    assert cfg.model.backbone.init_cfg is None and cfg.work_dir == '/x'
    (tmp_path / 'a.py').write_text("model = dict(type='mmdet.FasterRCNN')")
    with pytest.raises(UserError, match=r'a\.py has no backbone'):
        load_config(tmp_path / 'a.py', cfg_options=dict(backbone_weights='x.pth'))


@pytest.mark.parametrize(('options', 'message'), [
    ({'optm_wrapper.optimizer.lr': 1}, "did you mean 'optim_wrapper'"),
    ({'zzz': 1}, 'it has'),
    ({'model.backbone.depth.x': 1}, 'do not fit'),
    ({'data_root': '/here'}, 'would not see it; set `data_root`'),
    ({'train_pipeline.2.scale': (320, 200)}, 'set train_dataloader.dataset.pipeline instead'),
    ({'model': None}, 'has no model'),
    ({'optim_wrapper.optimizer': 'SGD'}, "optim_wrapper.optimizer: it must be a dictionary, got 'SGD'"),
])  # fmt: skip
def test_refuses_options(options, message):
    with pytest.raises(UserError, match=message):
        load_config(CONFIG, cfg_options=options)


def test_accepts_what_the_runner_reads():
    options = {
        'randomness.seed': 3,
        'custom_hooks': [],
        'find_unused_parameters': True,
        'compile.backend': 'eager',
        'pictures': 3,
        'load_from': 'x.pth',
        'auto_scale_lr.enable': True,
    }
    cfg = load_config(CONFIG, cfg_options=options)
    for key, value in options.items():
        assert functools.reduce(operator.getitem, key.split('.'), cfg) == value


def test_refuses_files(tmp_path):
    (tmp_path / 'empty.py').write_text('')
    with pytest.raises(UserError, match=r'empty\.py has no model'):
        load_config(tmp_path / 'empty.py')
    with pytest.raises(MissingFileError, match='there is .*faster_rcnn_eca_r50_fpn_1x.py'):
        load_config(CONFIG.with_name('faster_rcnn_eca_r50_fpn.py'))
    (tmp_path / 'broken.py').write_text('model = dict(')
    with pytest.raises(UserError, match='cannot be read as a config'):
        load_config(tmp_path / 'broken.py')


def test_custom_imports(tmp_path, monkeypatch):
    """A module that is not found is a sentence; a bug in one keeps its traceback."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'my_broken_layer.py').write_text('nothing.attribute')
    (tmp_path / 'my_lonely_layer.py').write_text('import nowhere_at_all')
    config = tmp_path / 'a.py'
    for module, error, message in (
        ('nowhere', UserError, r"custom_imports of .*a\.py: Failed to import nowhere \(No module named 'nowhere'\)"),
        ('my_lonely_layer', UserError, r"Failed to import my_lonely_layer \(No module named 'nowhere_at_all'\)"),
        ('my_broken_layer', NameError, 'nothing'),
    ):
        config.write_text(f"_base_ = {str(CONFIG)!r}\ncustom_imports = dict(imports=['eca_mm', {module!r}])")
        with pytest.raises(error, match=message):
            load_config(config)
    assert mmengine.config.utils.load is mmengine.fileio.load
