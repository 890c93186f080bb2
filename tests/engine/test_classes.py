"""Classes stated once, and found to differ before anything is trained."""

import pytest
from mmdet.engine.hooks import NumClassCheckHook
from mmengine.config import Config

from eca_mm.engine import load_config
from eca_mm.engine.model import build_model
from eca_mm.errors import UserError
from tests.support import FASTER, MASK, REPOSITORY, train_shortly

CLASSES = ('cat', 'dog', 'owl')
CLASSIFIER = REPOSITORY / 'configs/imagenet/eca_resnet50.py'
COCO = REPOSITORY / 'configs/mask_rcnn_eca_r50_fpn_1x.py'
ALL = [COCO, REPOSITORY / 'configs/faster_rcnn_eca_r50d_fpn_1x.py', FASTER, MASK, CLASSIFIER]


def state(tmp_path, base, text):
    file = tmp_path / 'mine.py'
    file.write_text(f'_base_ = {str(base)!r}\n{text}')
    return load_config(file)


@pytest.mark.parametrize('base', ALL, ids=lambda base: base.stem)
def test_all_follows(base, tmp_path):
    """The heads, the datasets and the metrics; mmdet's own check finds nothing."""
    cfg = state(tmp_path, base, f'classes = {list(CLASSES)!r}')
    model = build_model(cfg)
    heads = [m.num_classes for name, m in model.named_modules() if hasattr(m, 'num_classes') and 'rpn' not in name]
    assert set(heads) == {3} and len(heads) > (base in (COCO, MASK))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.metainfo.classes == CLASSES
    if base is CLASSIFIER:
        assert cfg.val_evaluator.topk == (1,) and model.head.topk == (1,)
    else:
        assert model.rpn_head.num_classes == 1 and dict(type='NumClassCheckHook') in cfg.custom_hooks
        dataset = Config(dict(metainfo=dict(classes=CLASSES)))
        runner = Config(dict(train_dataloader=dict(dataset=dataset)))
        NumClassCheckHook()._check_head(_Runner(model, runner.train_dataloader), 'train')


def test_topk(tmp_path):
    """Of an evaluator as one number too, and not that of an assigner, which counts anchors."""
    assigner = "model = dict(train_cfg=dict(assigner=dict(type='ATSSAssigner', topk=9)))"
    evaluator = "val_evaluator = dict(type='Accuracy', topk=5)"
    cfg = state(tmp_path, CLASSIFIER, f'classes = {list(CLASSES)!r}\n{assigner}\n{evaluator}')
    assert cfg.val_evaluator.topk == (1,) and cfg.model.train_cfg.assigner.topk == 9


class _Runner:
    def __init__(self, model, train_dataloader):
        self.model, self.train_dataloader = model, train_dataloader


def test_evaluators_follow(tmp_path):
    text = f'classes = {CLASSES!r}\nval_dataloader = dict(dataset=dict(data_root="mine", ann_file="val.json"))'
    cfg = state(tmp_path, COCO, text)
    assert cfg.val_evaluator.ann_file == 'mine/val.json'
    assert cfg.test_evaluator.ann_file == 'data/coco/annotations/instances_val2017.json'  # as its dataloader has


@pytest.mark.parametrize(('text', 'message'), [
    ("classes = 'cat'", r"classes must be a list of names.*\('cat',\) of one; got 'cat'"),
    ('classes = ()', 'got '),
    ('classes = 3', 'got 3'),
    ("classes = ('cat', 'dog', 'cat')", "classes has 'cat' twice"),
    ("classes = ('a', 'b')\ntrain_dataloader = dict(dataset=dict(metainfo=dict(classes=('a', 'c'))))",
     r"classes = \('a', 'b'\), but the metainfo of train_dataloader's dataset has \('a', 'c'\)"),
])  # fmt: skip
def test_refusals(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        state(tmp_path, COCO, text)


def of(*names):
    return {f'{kind}_dataloader.dataset.metainfo': dict(classes=list(names)) for kind in ('train', 'val')}


MISTAKES = [
    ({'model.roi_head.bbox_head.num_classes': 5}, 'roi_head.bbox_head has num_classes=5, and the train dataset has 4'),
    (of('circle', 'square', 'triangle', 'start'), "no category for: 1 ('start'; the file has 'circle', 'square'"),
    (of('square', 'circle', 'triangle', 'star'), r"another order than in the file: 1 (classes = ('circle', 'square'"),
]  # fmt: skip


@pytest.mark.parametrize(('options', 'message'), MISTAKES)
def test_a_training_that_would_go_wrong_does_not_start(options, message, shapes_root, tmp_path, monkeypatch):
    monkeypatch.setenv('SHAPES_ROOT', str(shapes_root))
    with pytest.raises(UserError) as error:
        train_shortly(FASTER, tmp_path / 'w', **{key.replace('.', '__'): value for key, value in options.items()})
    assert message in str(error.value)


@pytest.mark.parametrize(('options', 'message'), [
    ({'model.head.num_classes': 999}, "the model's head has num_classes=999, and the train dataset has 1000 classes"),
    ({'val_evaluator.topk': (1, 1001)}, 'val_evaluator has topk=(1, 1001), and there are 1000 classes'),
])  # fmt: skip
def test_a_classifier_that_would_go_wrong_does_not_start(options, message, trained):
    with pytest.raises(UserError) as error:
        trained(**{key.replace('.', '__'): value for key, value in options.items()})
    assert message in str(error.value)
