"""Released checkpoints against the ones that they come from."""

import hashlib
import json
import os

import pytest
import torch
import yaml

from eca_mm.convert import convert_checkpoint
from eca_mm.engine import evaluate, load_config
from eca_mm.engine.model import model_of
from eca_mm.export import release
from eca_mm.export.release import results_of
from tests.support import REPOSITORY


def test_round_trip(classifier, checkpoint, tmp_path):
    made = release(classifier, str(checkpoint), tmp_path / 'new/folder')
    content = torch.load(made.weights, weights_only=True)
    original = torch.load(checkpoint, weights_only=False)
    assert set(content) == {'meta', 'state_dict'} and set(content['state_dict']) == set(original['state_dict'])
    assert all(value.equal(original['state_dict'][key]) for key, value in content['state_dict'].items())
    meta = content['meta']
    assert meta['dataset_meta'] == dict(classes=('cat', 'dog'), palette=[(1, 2, 3)]) and meta['epoch'] == 7
    assert meta['config'] == 'classifier.py' and not {'cfg', 'hook_msgs'} & set(meta)

    sha = hashlib.sha256(made.weights.read_bytes()).hexdigest()
    name, _, rest = made.weights.stem.rpartition('_')
    assert name == 'classifier' and rest[8:] == f'-{sha[:8]}' and rest[:8].isdigit()
    (entry,) = yaml.safe_load(made.entry_file.read_text())['Models']
    assert entry['Weights'] == made.weights.name and entry['Config'] == meta['config']
    assert entry['Metadata'] == {
        'Training Data': 'ImageNet-1k', 'Epochs': 7, 'Batch Size': 256, 'Parameters': 11_689_552,
    }  # fmt: skip
    assert 'Results' not in entry and 'no results: ' in str(made)
    assert sorted(f.name for f in made.weights.parent.iterdir()) == [made.weights.name, made.entry_file.name]
    with pytest.raises(FileExistsError, match='force=True'):
        release(classifier, str(checkpoint), tmp_path / 'new/folder')


def test_of_converted_weights(classifier, checkpoint, tmp_path):
    """Where they come from stays with them."""
    convert_checkpoint(str(checkpoint), tmp_path / 'converted.pth')
    made = release(classifier, str(tmp_path / 'converted.pth'), tmp_path)
    meta = torch.load(made.weights, weights_only=True)['meta']
    assert meta['source'] == 'mmpretrain' and meta['kernel_sizes'] == [3, 5, 5, 7] and 'eca_mm' in meta['tool']
    assert meta['source_sha256'] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()


def test_what_no_tensor_tells_is_released_too(small, checkpoint, tmp_path):
    dilated = 'model = dict(backbone=dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)))'
    (tmp_path / 'dilated.py').write_text(f"_base_ = '{small}/classifier.py'\n{dilated}\n")
    made = release(load_config(tmp_path / 'dilated.py'), str(checkpoint), tmp_path)
    with pytest.raises(ValueError, match='dilations'):
        convert_checkpoint(str(made.weights), tmp_path / 'timm.pth', to='timm')


def test_names_the_dataset_that_is_wrapped(classifier, checkpoint, tmp_path):
    inner = classifier.train_dataloader.dataset
    for wrapped in (dict(type='RepeatDataset', times=2, dataset=inner), dict(type='ConcatDataset', datasets=[inner])):
        classifier.train_dataloader.dataset = wrapped
        made = release(classifier, str(checkpoint), tmp_path, force=True)
        assert 'Training Data: ImageNet-1k' in made.entry


def test_results(classifier, checkpoint, tmp_path):
    same, file = tmp_path / 'epoch_7.pth', tmp_path / 'metrics.json'
    same.symlink_to(checkpoint)
    measured = dict(checkpoint='elsewhere/epoch_7.pth', images=50_000, metrics={'accuracy/top1': 77.484})
    task = dict(Task='Image Classification', Dataset='ImageNet-1k', Metrics={'Top 1 Accuracy': 77.48})
    file.write_text(json.dumps(measured))
    made = release(classifier, str(same), tmp_path)
    assert yaml.safe_load(made.entry)['Models'][0]['Results'] == [task] and made.remark == ''
    file.write_text(json.dumps(measured | dict(images=80)))
    assert results_of(classifier, same)[0] == [task | dict(Dataset='80 images of ImageNet-1k')]
    for change, remark in (
        (dict(checkpoint='epoch_6.pth'), 'those of epoch_6.pth'),
        (dict(metrics={'accuracy/top1': -1, 'accuracy/top5': float('nan')}), 'none of the metrics'),
    ):
        file.write_text(json.dumps(measured | change))
        assert results_of(classifier, same)[0] == [] and remark in results_of(classifier, same)[1]
    file.write_text(json.dumps(measured))
    os.utime(file, (0, 0))
    assert 'older' in results_of(classifier, same)[1]
    file.write_text('{}')
    with pytest.raises(ValueError, match=r'not what tools/test\.py writes'):
        release(classifier, str(same), tmp_path, force=True)


def test_the_tools_take_it(small, shapes_root, in_process, tmp_path):
    """tools/export.py writes it, what tools/test.py calls reads it, and a network of another depth does not take it."""
    state = model_of(load_config(small / 'detector.py'), None, 'none').state_dict()
    torch.save(dict(state_dict=state, optimizer={}, meta=dict(epoch=3)), tmp_path / 'epoch_3.pth')
    screen = in_process('export', small / 'detector.py', 'epoch_3.pth', 'released', '--release')
    assert 'In Collection: ECA-Net' in screen and 'Training Data: shapes' in screen

    (file,) = (tmp_path / 'released').glob('*.pth')
    options = {'test_dataloader.dataset.indices': 2}
    evaluate(load_config(small / 'detector.py', cfg_options=options, data_root=str(shapes_root)), str(file))
    deeper = load_config(REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_shapes.py')
    with pytest.raises(
        ValueError, match='the release has the weights of a ResNet-18 with ECA, .* and the model has a ResNet-50'
    ):
        model_of(deeper, torch.load(file, weights_only=True), 'the release')


def test_refuses(classifier, checkpoint, tmp_path):
    (tmp_path / 'x').touch()
    with pytest.raises(ValueError, match='x cannot be made a folder'):
        release(classifier, str(checkpoint), tmp_path / 'x')
    with pytest.raises(
        ValueError, match=r'epoch_7\.pth has the weights of a ResNet-18 with ECA, .* and the model has a ResNet-50'
    ):
        release(load_config(REPOSITORY / 'configs/imagenet/eca_resnet50.py'), str(checkpoint), tmp_path / 'y')
    assert [f.name for f in tmp_path.iterdir()] == ['x']
