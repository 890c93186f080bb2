"""Training and testing: what they write, and that they leave nothing behind in the process."""

import json
import os
import sys
import warnings
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader
from mmengine.visualization import Visualizer

from eca_mm.convert import convert_checkpoint
from eca_mm.engine import Interrupted, Summary, evaluate, load_config, train
from eca_mm.errors import UserError
from tests.support import FASTER, NO_VALIDATION, REPOSITORY


def state_of_the_process():
    current = [manager._instance_dict for manager in (DefaultScope, MessageHub, Visualizer)]
    return [dict(instances) for instances in current], CheckpointLoader._schemes, warnings.filters[:], dict(os.environ)


def test_a_run_leaves_no_state_behind(trained):
    before = state_of_the_process()
    trained(epochs=1, pictures=1)
    assert state_of_the_process() == before
    with pytest.raises(Interrupted):
        trained(custom_hooks=[dict(type='Interrupt', after=1)])
    assert state_of_the_process() == before


def test_without_tensorboard(trained, monkeypatch, tmp_path, capsys):
    assert 'tensorboard --logdir' in str(trained(**NO_VALIDATION, epochs=1))
    assert list((tmp_path / 'work').rglob('events.out.tfevents*'))
    capsys.readouterr()
    for module in ('tensorboard', 'torch.utils.tensorboard'):
        monkeypatch.setitem(sys.modules, module, None)  # imports of it fail
    assert '--logdir' not in str(trained('other', **NO_VALIDATION, epochs=1))
    assert capsys.readouterr().out.count('TensorBoard is left out') == 1
    assert not list((tmp_path / 'other').rglob('events.out.tfevents*'))
    assert list((tmp_path / 'other').rglob('scalars.json'))  # of the other backend


def test_pictures(trained):
    assert trained(**NO_VALIDATION, epochs=1, pictures=2).pictures is None
    assert len(list((trained(epochs=1, pictures=2).pictures / 'vis').iterdir())) == 2
    for value in (-1, True, 2.5):
        with pytest.raises(UserError, match=f'pictures must be a number of images, got {value}'):
            trained(pictures=value)


def test_summary():
    summary = Summary('a b.py', Path('w d'), 60, Path('w d/x.pth'), options=['--cfg-options', 'k=(1, 2)'])
    assert "test again   tools/test.py 'a b.py' 'w d/x.pth' --cfg-options 'k=(1, 2)'" in str(summary)


def test_what_is_evaluated_is_said(trained, classifier, tmp_path):
    """By a URL and of a converted file: images, the epoch or whose the weights are."""
    checkpoint = trained(**NO_VALIDATION, epochs=1).checkpoint

    def measured(source):
        options = {'test_dataloader.dataset.indices': 8}
        metrics = evaluate(load_config(classifier, work_dir=str(tmp_path / 'w'), cfg_options=options), source)
        written = json.loads((tmp_path / 'w/metrics.json').read_text())
        assert set(metrics) == {'accuracy/top1', 'accuracy/top5'} and written['metrics'] == metrics
        return {key: value for key, value in written.items() if key not in ('metrics', 'config')}

    assert measured(checkpoint.as_uri()) == dict(images=8, checkpoint=checkpoint.as_uri(), epoch=1)
    converted = str(tmp_path / 'converted.pth')
    convert_checkpoint(str(checkpoint), converted)
    assert measured(converted) == dict(images=8, checkpoint=converted, source='mmpretrain')


def test_checkpoints_that_cannot_be_tested(classifier, tmp_path):
    def refusal(name, **arguments):
        with pytest.raises(UserError) as error:
            evaluate(load_config(classifier, work_dir=str(tmp_path / 'w')), str(tmp_path / name), **arguments)
        return str(error.value)

    assert 'checkpoint not found' in refusal('x.pth')
    (tmp_path / 'page.pth').write_text('<html>')
    assert 'page.pth is not a PyTorch checkpoint' in refusal('page.pth')
    torch.save(dict(state_dict=dict(w=torch.ones(1)), meta={}), tmp_path / 'other.pth')
    sentence = refusal('other.pth')
    assert 'other.pth does not fit' in sentence and 'missing' in sentence and '1 without a place: w' in sentence
    assert '--out' in refusal('other.pth', out='p') and 'CocoMetric' in refusal('other.pth', out='p')


def test_predictions_go_into_a_folder(shapes_root, tmp_path, monkeypatch):
    monkeypatch.setenv('SHAPES_ROOT', str(shapes_root))
    torch.save(dict(state_dict=dict(w=torch.ones(1)), meta={}), tmp_path / 'other.pth')
    with pytest.raises(UserError, match='--out: /dev/null cannot be made a folder'):
        evaluate(load_config(FASTER), str(tmp_path / 'other.pth'), out='/dev/null/x')


def test_wrong_annotations(coco_root, tmp_path):
    """Annotations that are cut off, of no image, or of other images: each names the path."""
    content = json.loads((coco_root / 'annotations/instances_train2017.json').read_text())
    annotations, image = tmp_path / 'annotations', coco_root / 'train2017' / content['images'][-1]['file_name']
    for folder in (annotations, tmp_path / 'train2017', tmp_path / 'val2017'):
        folder.mkdir()
        (folder / image.name).symlink_to(image)
    options = {'backbone_weights': None, 'model.backbone.norm_eval': False, 'model.backbone.frozen_stages': -1}
    options['model.backbone.depth'] = 18
    for text, parts in [
        ('{"images": [', ['Expecting value']),
        (json.dumps(content | dict(images=[], annotations=[])), ['no image']),
        (json.dumps(content | dict(images=[dict(id=1)])), ['an entry of images has no file_name']),
        (json.dumps(content), ['train2017/', 'the first image, does not exist', 'COCO_ROOT']),
    ]:
        for split in ('train', 'val'):
            (annotations / f'instances_{split}2017.json').write_text(text)
        config = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py'
        cfg = load_config(config, data_root=str(tmp_path), work_dir=str(tmp_path / 'w'), cfg_options=options)
        with pytest.raises(UserError) as error:
            train(cfg)
        assert all(part in str(error.value) for part in [str(tmp_path), *parts]), error.value
