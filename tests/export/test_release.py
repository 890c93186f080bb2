"""Released checkpoints against the ones that they come from."""

import hashlib
import json
import os

import pytest
import torch
import yaml

from eca_mm.convert import convert_checkpoint
from eca_mm.engine import evaluate, load_config
from eca_mm.engine.model import load_model
from eca_mm.export import release
from eca_mm.export.release import results_of
from tests.support import REPOSITORY, quietly


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
    parameters = sum(p.numel() for p in load_model(classifier, content, 'the release').parameters())
    assert entry['Metadata'] == {
        'Training Data': 'ImageNet-1k', 'Epochs': 7, 'Batch Size': 256, 'Parameters': parameters,
    }  # fmt: skip
    assert 'Results' not in entry and 'no results: ' in str(made)
    assert sorted(f.name for f in made.weights.parent.iterdir()) == [made.weights.name, made.entry_file.name]
    with pytest.raises(FileExistsError, match='--force'):
        release(classifier, str(checkpoint), tmp_path / 'new/folder')


def test_of_converted_weights(classifier, checkpoint, tmp_path):
    """Where they come from stays with them."""
    convert_checkpoint(str(checkpoint), tmp_path / 'converted.pth')
    made = release(classifier, str(tmp_path / 'converted.pth'), tmp_path)
    meta = torch.load(made.weights, weights_only=True)['meta']
    assert meta['source'] == 'mmpretrain' and meta['kernel_sizes'] == [3, 5, 5, 7] and 'eca_mm' in meta['tool']
    assert meta['source_sha256'] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()


def test_what_no_tensor_tells_is_released_too(small, tmp_path):
    dilated = 'model = dict(backbone=dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)))'
    (tmp_path / 'dilated.py').write_text(f"_base_ = '{small}/classifier.py'\n{dilated}\n")
    cfg = load_config(tmp_path / 'dilated.py')
    torch.save(load_model(cfg, None, 'none').state_dict(), tmp_path / 'weights.pth')
    made = release(cfg, str(tmp_path / 'weights.pth'), tmp_path)
    with pytest.raises(ValueError, match='dilations'):
        convert_checkpoint(str(made.weights), tmp_path / 'timm.pth', to='timm')


def test_the_entry_names_a_config_of_the_repository(tmp_path):
    cfg = load_config(REPOSITORY / 'configs/imagenet/eca_mobilenet_v2.py')
    torch.save(load_model(cfg, None, 'none').state_dict(), tmp_path / 'weights.pth')
    (entry,) = yaml.safe_load(release(cfg, str(tmp_path / 'weights.pth'), tmp_path).entry)['Models']
    assert entry['Config'] == 'configs/imagenet/eca_mobilenet_v2.py'


def test_meta_that_is_no_dictionary(classifier, checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=False)
    torch.save(dict(content, meta=['epoch', 7]), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r'x\.pth has a list for meta'):
        release(classifier, str(tmp_path / 'x.pth'), tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ['x.pth']


def test_results(classifier, tmp_path):
    checkpoint, file = tmp_path / 'epoch_7.pth', tmp_path / 'metrics.json'
    checkpoint.touch()
    measured = dict(checkpoint='elsewhere/epoch_7.pth', images=50_000, metrics={'accuracy/top1': 77.484})
    for images, dataset in ((50_000, 'ImageNet-1k'), (80, '80 images of ImageNet-1k')):
        file.write_text(json.dumps(measured | dict(images=images)))
        task = dict(Task='Image Classification', Dataset=dataset, Metrics={'Top 1 Accuracy': 77.48})
        assert results_of(classifier, checkpoint) == ([task], '')
    os.utime(file, (0, 0))
    assert 'older' in results_of(classifier, checkpoint)[1]
    for change, remark in (
        (dict(checkpoint='epoch_6.pth'), 'those of epoch_6.pth'),
        (dict(metrics={'accuracy/top1': -1, 'accuracy/top5': float('nan')}), 'none of the metrics'),
    ):
        file.write_text(json.dumps(measured | change))
        assert results_of(classifier, checkpoint)[0] == [] and remark in results_of(classifier, checkpoint)[1]


def test_results_are_released(classifier, checkpoint, tmp_path):
    same, file = tmp_path / 'epoch_7.pth', tmp_path / 'metrics.json'
    same.symlink_to(checkpoint)
    file.write_text(json.dumps(dict(checkpoint='epoch_7.pth', images=50_000, metrics={'accuracy/top1': 77.484})))
    made = release(classifier, str(same), tmp_path)
    assert yaml.safe_load(made.entry)['Models'][0]['Results'][0]['Metrics'] == {'Top 1 Accuracy': 77.48}
    assert made.remark == ''
    file.write_text('{}')
    with pytest.raises(ValueError, match=r'not what tools/test\.py writes'):
        release(classifier, str(same), tmp_path)


def test_the_tools_take_it(detector, small, shapes_root, tmp_path, monkeypatch, capsys):
    """tools/export.py writes it, and what tools/test.py calls reads it."""
    model = load_model(detector, None, 'none')
    torch.save(dict(state_dict=model.state_dict(), optimizer={}, meta=dict(epoch=3)), tmp_path / 'epoch_3.pth')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(REPOSITORY / 'tools')
    monkeypatch.setattr('sys.argv', ['export', str(small / 'detector.py'), 'epoch_3.pth', 'released', '--release'])
    quietly(REPOSITORY / 'tools/export.py')
    screen = capsys.readouterr().out
    assert 'In Collection: ECA-Net' in screen and 'Training Data: shapes' in screen

    (file,) = (tmp_path / 'released').glob('*.pth')
    options = {'test_dataloader.dataset.indices': 2}
    evaluate(load_config(small / 'detector.py', cfg_options=options, data_root=str(shapes_root)), str(file))


def test_a_file_is_no_folder(classifier, checkpoint, tmp_path):
    (tmp_path / 'x').touch()
    with pytest.raises(ValueError, match='x cannot be made a folder'):
        release(classifier, str(checkpoint), tmp_path / 'x')
