"""tools/plot.py from its arguments to its files."""

import json

import cv2
import numpy as np
import torch

from eca_mm.engine import load_config
from eca_mm.engine.model import build_model

LOG = '20260101_000000/vis_data/scalars.json'


def test_networks(in_process, classifier, tmp_path):
    model = build_model(load_config(classifier))
    torch.save(model.state_dict(), tmp_path / 'eca.pth')
    for i, name in enumerate(('dog/1.png', 'cat/2.png')):
        (tmp_path / 'images' / name).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'images' / name), np.random.default_rng(i).integers(0, 256, (40, 48, 3), np.uint8))
    network = (classifier, 'eca.pth', tmp_path / 'images')
    assert 'written: gap.png gap.npz' in in_process('plot', 'gap', *network)  # into the empty folder
    layers = {name.split('/')[0] for name in np.load(tmp_path / 'gap.npz')}
    assert layers == {
        f'conv_{stage}_{i}' for stage in (2, 3, 4, 5) for i in (1, 2)
    }  # it has not all of the paper's six
    in_process('plot', 'weights', *network, '--out', 'w.svg')
    numbers = np.load(tmp_path / 'w.npz')
    assert numbers['classifier/conv_5_2/cat'].shape == (512,)
    torch.save(model.state_dict(), tmp_path / 'other.pth')  # of the same config
    in_process('plot', 'weights', *network, '--below', classifier, 'other.pth', '--out', 'two.svg')
    assert {name.split('/')[0] for name in np.load(tmp_path / 'two.npz')} == {'eca.pth', 'other.pth'}


def test_results(in_process, tmp_path, refuse):
    (tmp_path / LOG).parent.mkdir(parents=True)
    (tmp_path / LOG).write_text(json.dumps({'loss': 1.0, 'step': 1}) + '\n')
    assert 'written: c.pdf c.npz' in in_process('plot', 'curves', tmp_path, '--out', 'c.pdf')
    assert "no 'x': there are loss" in refuse('plot', 'curves', tmp_path, '--key', 'x')
    work = tmp_path / 'work/eca_k9_resnet50'
    work.mkdir(parents=True)
    (work / 'metrics.json').write_text(json.dumps(dict(images=50000, metrics={'accuracy/top1': 77.4}, epoch=100)))
    in_process('plot', 'ksize', '--work-dirs', tmp_path / 'work', '--out', 'k.png')
    points = np.load(tmp_path / 'k.npz')
    ours = [(c, v) for c, w, v in zip(points['config'], points['who'], points['top1'], strict=True) if w == 'ours']
    assert ours == [('imagenet/eca_k9_resnet50', 77.4)]
    assert 'imagenet/eca_k3_resnet50' in points['config']
