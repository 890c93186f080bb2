"""Test-time augmentation: mmdet's and mmpretrain's models around ours, with a checkpoint of the model alone."""

import json

import pytest
import torch

from eca_mm.engine import evaluate, load_config
from eca_mm.engine.model import model_of
from eca_mm.errors import UserError
from tests.tools.bad_inputs import world


def test_a_detector_and_a_classifier(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world(tmp_path)
    for name, metric in (('det', 'coco/bbox_mAP'), ('cls', 'accuracy/top1')):
        torch.save(model_of(load_config(f'{name}.py'), None, '').state_dict(), f'{name}.pth')
        assert metric in evaluate(load_config(f'{name}.py', work_dir=name), f'{name}.pth', tta=True)
        assert json.loads((tmp_path / name / 'metrics.json').read_text())['config'].endswith('test-time augmentation')
    with pytest.raises(UserError, match=r'cls\.pth does not fit'):
        evaluate(load_config('det.py'), 'cls.pth', tta=True)


def test_symmetric_images_have_the_scores_of_a_plain_test(tmp_path, monkeypatch):
    """Of a classifier on images that are their own mirror images, the average over the flip is the prediction itself."""
    import cv2

    monkeypatch.chdir(tmp_path)
    world(tmp_path)
    for file in tmp_path.glob('animals/val/*/*.png'):
        image = cv2.imread(str(file))
        cv2.imwrite(str(file), cv2.hconcat([image, cv2.flip(image, 1)]))
    torch.save(model_of(load_config('cls.py'), None, '').state_dict(), 'cls.pth')
    plain, flipped = (evaluate(load_config('cls.py'), 'cls.pth', tta=tta) for tta in (False, True))
    assert plain == flipped
