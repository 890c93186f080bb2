"""Training and testing: what they write, and that they leave nothing behind in the process."""

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS

from eca_mm import fuse_for_inference
from eca_mm.convert import convert_checkpoint
from eca_mm.engine import Summary, evaluate, load_config, load_model, train
from eca_mm.engine.model import model_of
from eca_mm.errors import MissingFileError, UserError
from eca_mm.export import release
from tests.support import FASTER, NO_VALIDATION, REPOSITORY, short


def test_a_run_and_a_finished_one(trained, tmp_path):
    summary = trained(epochs=1, pictures=2)
    assert set(summary.metrics) == {'accuracy/top1', 'accuracy/top5'} and 'accuracy/top1  ' in str(summary)
    assert len(list((summary.pictures / 'vis').iterdir())) == 2
    assert f'tensorboard --logdir {tmp_path / "work"}' in str(summary)
    again = trained(epochs=1, resume='auto')
    assert again.metrics == {} and 'was trained already; nothing was run' in str(again)
    assert again.checkpoint == summary.checkpoint


def test_without_tensorboard_and_validation(trained, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'tensorboard', None)  # imports of it fail
    summary = trained(**NO_VALIDATION, epochs=1, pictures=2)
    assert '--logdir' not in str(summary) and summary.pictures is None
    assert 'no metrics: nothing was validated' in str(summary)
    assert list((tmp_path / 'work').rglob('scalars.json'))  # of the other backend


def test_seed(tmp_path):
    """Of the command line, even 0, before the config's, before 0."""
    config = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py'
    for seed, options, expected in ((0, 3, 0), (None, 3, 3), (None, None, 0)):
        cfg = load_config(config, data_root=str(tmp_path), cfg_options={'randomness.seed': options})
        with pytest.raises(MissingFileError, match='data not found'):
            train(cfg, seed=seed)
        assert cfg.randomness.seed == expected


def test_summary():
    summary = Summary('configs/a b.py', Path('w d'), 60, Path('w d/x.pth'))
    assert "test again   tools/test.py 'w d/a b.py' 'w d/x.pth'" in str(summary)


def test_what_is_evaluated_is_said(classifier, tmp_path):
    """By a URL and of a converted file: images, the epoch or whose the weights are."""
    checkpoint = tmp_path / 'x.pth'
    torch.save(
        dict(state_dict=model_of(load_config(classifier), None, '').state_dict(), meta=dict(epoch=7)), checkpoint
    )

    def measured(source):
        options = {'test_dataloader.dataset.indices': 8}
        metrics = evaluate(load_config(classifier, work_dir=str(tmp_path / 'w'), cfg_options=options), source)
        written = json.loads((tmp_path / 'w/metrics.json').read_text())
        assert set(metrics) == {'accuracy/top1', 'accuracy/top5'} and written['metrics'] == metrics
        return {key: value for key, value in written.items() if key not in ('metrics', 'config')}

    assert measured(checkpoint.as_uri()) == dict(images=8, checkpoint=checkpoint.as_uri(), epoch=7)
    converted = str(tmp_path / 'converted.pth')
    convert_checkpoint(str(checkpoint), converted)
    assert measured(converted) == dict(images=8, checkpoint=converted, source='mmpretrain')


def test_fused_averaged_weights_are_those_of_the_checkpoint(trained, classifier, tmp_path, monkeypatch):
    average = dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.5)
    checkpoint = str(trained(epochs=1, custom_hooks=[average]).checkpoint)
    options = {'custom_hooks': [average], 'test_dataloader.dataset.indices': 8}
    tested = []
    module = sys.modules['eca_mm.engine.evaluate']  # the function has its name
    monkeypatch.setattr(module, 'fuse_for_inference', lambda model: tested.append(fuse_for_inference(model)))
    evaluate(load_config(classifier, work_dir=str(tmp_path / 'w'), cfg_options=options), checkpoint, fuse=True)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = load_model(load_config(classifier), checkpoint, device='cpu')(images)
    with torch.no_grad():
        torch.testing.assert_close(tested[0].cpu()(images), expected, rtol=1e-4, atol=1e-5)


@MODELS.register_module()
class OneLayer(BaseModel):
    """A model that has no backbone."""

    def __init__(self, data_preprocessor=None):
        super().__init__(dict(type='BaseDataPreprocessor'))
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.fc(torch.stack(inputs).float().mean((2, 3)))
        return dict(loss=logits.square().mean()) if mode == 'loss' else logits


def test_a_model_without_a_backbone(classifier, tmp_path):
    """It is trained, started from weights, and released."""
    config = tmp_path / 'bare.py'
    config.write_text(f"_base_ = {str(classifier)!r}\nmodel = dict(_delete_=True, type='OneLayer')\n")

    def run(name, **changes):
        options = short(1, train_dataloader__collate_fn=dict(type='pseudo_collate'), **NO_VALIDATION, **changes)
        return train(load_config(config, work_dir=str(tmp_path / name), cfg_options=options)).checkpoint

    first = run('first')
    second = run('second', load_from=str(first))
    before, after = (torch.load(file, weights_only=False)['state_dict']['fc.weight'] for file in (first, second))
    assert not before.equal(after)
    made = release(load_config(config), str(second), tmp_path)
    assert torch.load(made.weights)['state_dict']['fc.weight'].equal(after)


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
    assert '--out writes COCO results' in refusal('other.pth', out='p')


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
    options |= {'model.backbone.depth': 18, 'model.neck.in_channels': [64, 128, 256, 512]}
    for text, parts in [
        ('{"images": [', ['Expecting value']),
        (
            json.dumps(content | dict(images=[], annotations=[])),
            ['files without a usable object: 1 (0 images, 0 annotations)'],
        ),
        (
            json.dumps(content | dict(images=[dict(id=1)])),
            ["images[0] (id 1) has no 'file_name'", 'tools/doctor.py'],
        ),
        (json.dumps(content), ['train2017/', 'the first image, does not exist', 'COCO_ROOT']),
    ]:
        for split in ('train', 'val'):
            (annotations / f'instances_{split}2017.json').write_text(text)
        config = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py'
        cfg = load_config(config, data_root=str(tmp_path), work_dir=str(tmp_path / 'w'), cfg_options=options)
        with pytest.raises(UserError) as error:
            train(cfg)
        assert all(part in str(error.value) for part in [str(tmp_path), *parts]), error.value
