"""Types as classes, wrapped and several datasets, a metric for each: in training, test, prediction, doctor and pictures."""

import json

import pytest
import torch
from mmdet.apis import inference_detector
from mmengine.config import ConfigDict

from eca_mm.engine import evaluate, load_config, load_model, predict, train
from eca_mm.engine.doctor import inspect
from eca_mm.engine.preflight import check_classes, check_evaluated_file
from eca_mm.errors import UserError
from tests.checks import faults
from tests.tools.bad_inputs import world

# In mmengine's pure-Python style, by changes of the narrow detector of the bad inputs.
CLASSES_AS_TYPES = """
from mmdet.datasets import CocoDataset, ConcatDataset
from mmdet.evaluation import CocoMetric
from mmengine.dataset import RepeatDataset
from mmengine.dataset import DefaultSampler
from mmengine.config import read_base
with read_base():
    from .dumped import *
train = dict(train_dataloader['dataset'], type=CocoDataset)
val = [dict(train, ann_file=f, data_prefix=dict(img='val'), test_mode=True, filter_cfg=None) for f in ('a.json', 'b.json')]
sampler = dict(type=DefaultSampler, shuffle=False)
twice = dict(type=RepeatDataset, dataset=train, times=2)
train_dataloader = dict(train_dataloader, dataset=twice, sampler=dict(sampler, shuffle=True))
val_dataloader = dict(val_dataloader, dataset=dict(type=ConcatDataset, datasets=val), sampler=sampler)
test_dataloader = dict(test_dataloader, dataset=dict(type=ConcatDataset, datasets=val), sampler=sampler)
val_evaluator = dict(type=CocoMetric, metric='bbox', ann_file='val.json')
test_evaluator = dict(type='MultiDatasetsEvaluator', dataset_prefixes=['a', 'b'],
                      metrics=[dict(type=CocoMetric, metric='bbox', ann_file=f, format_only=False) for f in ('a.json', 'b.json')])
default_scope = None
pictures = 2
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world(tmp_path)
    whole = json.loads((tmp_path / 'val.json').read_text())
    for name, image in (('a', 1), ('b', 2)):
        parts = {key: [part for part in whole[key] if part['id'] == image] for key in ('images', 'annotations')}
        (tmp_path / f'{name}.json').write_text(json.dumps(whole | parts))
    cfg = load_config('det.py')
    cfg.pop('custom_imports')  # which mmengine refuses in this style
    cfg.dump(tmp_path / 'dumped.py')
    (tmp_path / 'mine.py').write_text(CLASSES_AS_TYPES)
    return tmp_path / 'mine.py'


def test_from_training_to_prediction(config, tmp_path):
    summary = train(load_config(config, work_dir='w'))
    assert summary.metrics['coco/bbox_mAP'] >= -1 and len(list((summary.pictures / 'vis').iterdir())) == 2
    for file in (config, tmp_path / 'w/mine.py'):  # also what the run has left
        metrics = evaluate(load_config(file, work_dir='t'), str(summary.checkpoint), out='o')
        assert {'a/coco/bbox_mAP', 'b/coco/bbox_mAP'} <= metrics.keys()
    assert (tmp_path / 'o.a.bbox.json').is_file() and (tmp_path / 'o.b.bbox.json').is_file()
    assert len(predict(load_model(config, summary.checkpoint), 'val')) == 2


def test_the_doctor(config):
    names = [found.name for found in inspect(load_config(config))]
    assert names == ['train: ./train.json', 'val: ./a.json', 'val: ./b.json']


def test_mmdets_own_function(config, tmp_path):
    """Without a default scope; it gives what our tool gives."""
    model = load_model(tmp_path / 'det.py', None)
    scores = inference_detector(model, 'val/1.png').pred_instances.scores
    assert scores.tolist() == pytest.approx(predict(model, 'val/1.png')['val/1.png']['scores'])


def evaluated(tmp_path, evaluator, *files):
    data = [dict(type='CocoDataset', data_root=str(tmp_path), ann_file=file) for file in files]
    return ConfigDict(val_dataloader=dict(dataset=dict(datasets=data)), val_evaluator=evaluator)


def test_one_metric_for_several_files(tmp_path):
    both = faults.coco(2)
    for name, images in (('both', both['images']), ('a', both['images'][:1]), ('b', both['images'][1:])):
        (tmp_path / f'{name}.json').write_text(json.dumps(both | dict(images=images)))
    (tmp_path / 'c.json').write_text(json.dumps(both | dict(images=[dict(id=1, file_name='other.png')])))
    metric = dict(type='CocoMetric', ann_file=str(tmp_path / 'both.json'))
    check_evaluated_file(evaluated(tmp_path, metric, 'a.json', 'b.json'), 'val')
    check_evaluated_file(evaluated(tmp_path, dict(type='CocoMetric'), 'a.json', 'b.json'), 'val')
    for wrong, files, said in (
        (metric, ('a.json', 'c.json'), 'both.json, and val_dataloader reads .*c.json'),
        (dict(type='CocoMetric'), ('a.json', 'c.json'), 'one metric.*MultiDatasetsEvaluator'),
        (dict(metric, ann_file=str(tmp_path / 'a.json')), ('a.json', 'b.json'), 'MultiDatasetsEvaluator'),
    ):
        with pytest.raises(UserError, match=said):
            check_evaluated_file(evaluated(tmp_path, wrong, *files), 'val')


def test_class_weights():
    class Data:
        metainfo = dict(classes=('cat', 'dog'))

    def model(**changes):
        head = torch.nn.Module()
        head.num_classes, head.loss_cls = 2, torch.nn.Module()
        for key, value in dict(use_sigmoid=False, **changes).items():
            setattr(head.loss_cls, key, value)
        return torch.nn.ModuleDict(dict(head=head))

    check_classes(ConfigDict(), model(class_weight=[1, 2, 3]), Data(), 'train')
    check_classes(ConfigDict(), model(class_weight=None), Data(), 'train')
    with pytest.raises(UserError, match=r'head.loss_cls has 2 numbers, \[1, 2\]: give it 3, of 2 classes and the back'):
        check_classes(ConfigDict(), model(class_weight=[1, 2]), Data(), 'train')
