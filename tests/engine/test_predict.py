"""Predictions: what is refused before a model is built, and which boxes are drawn."""

import json

import cv2
import numpy as np
import pytest
import torch

from eca_mm.datasets import ShapesDataset
from eca_mm.engine import find_images, load_config, predict
from eca_mm.engine.model import load_model
from eca_mm.errors import UserError
from tests.support import FASTER


def test_wrong_images(classifier, tmp_path):
    cfg = load_config(classifier)
    torch.save(dict(state_dict=dict(w=torch.ones(1))), tmp_path / 'other.pth')

    def refusal(*names, out_dir='out', **arguments):
        with pytest.raises(UserError) as error:
            predict(cfg, tmp_path / 'other.pth', [tmp_path / n for n in names], tmp_path / out_dir, **arguments)
        return str(error.value)

    (tmp_path / 'broken.jpg').write_text('not an image')
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    for name in ('half.png', 'a.png', 'a.jpg'):
        cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / 'half.png').write_bytes((tmp_path / 'half.png').read_bytes()[:2000])
    with pytest.warns(UserWarning, match='passed over'):
        assert 'none of the images can be read' in refusal('broken.jpg', 'half.png')
    assert 'a.png, a.jpg would write the same' in refusal('a.png', 'a.jpg')
    assert "device 'gpu' cannot be used" in refusal('a.png', device='gpu')
    assert '--out-dir: /dev/null/x cannot be made a folder' in refusal('a.png', out_dir='/dev/null/x')
    assert 'other.pth does not fit' in refusal('a.png', device='cpu')


@pytest.mark.filterwarnings('ignore::UserWarning')  # of mmengine's visualizer
def test_threshold(tmp_path, shapes_root):
    """Of 0: all boxes are drawn; of 1: none, and the picture is the image."""
    cfg = load_config(FASTER)
    state = load_model(cfg, None, 'none').state_dict()
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=ShapesDataset.METAINFO)), tmp_path / 'x.pth')
    image = shapes_root / 'val/000001.png'
    pictures = []
    for threshold in (0, 1):
        folder = tmp_path / str(threshold)
        predict(cfg, tmp_path / 'x.pth', find_images(image), folder, threshold=threshold)
        pictures.append(cv2.imread(str(folder / 'vis/000001.png')))
        assert json.loads((folder / 'preds/000001.json').read_text())['scores']
    assert (pictures[1] == cv2.imread(str(image))).all() and (pictures[0] != pictures[1]).any()
