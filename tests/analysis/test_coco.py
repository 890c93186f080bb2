"""Scores of predictions against pycocotools, and what is no prediction."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eca_mm.analysis.coco import BACKENDS, NAMES, score


@pytest.fixture(scope='module')
def predictions(coco_root, tmp_path_factory):
    """Real annotations, shaken: boxes and masks with scores, some of them wrong."""
    ann_file = coco_root / 'annotations/instances_val2017.json'
    truth, rng = COCO(str(ann_file)), np.random.default_rng(0)
    boxes, masks = [], []
    for a in truth.anns.values():
        common = dict(image_id=a['image_id'], category_id=a['category_id'], score=float(rng.random()))
        box = list(np.array(a['bbox']) + rng.normal(0, 3, 4) * (1, 1, 0, 0))
        boxes.append(dict(common, bbox=box))
        mask = np.roll(truth.annToMask(a), rng.integers(0, 4), axis=1)
        code = rle.encode(np.asfortranarray(mask))
        masks.append(dict(common, bbox=box, segmentation=dict(code, counts=code['counts'].decode())))
    folder = tmp_path_factory.mktemp('predictions')
    (folder / 'p.bbox.json').write_text(json.dumps(boxes))
    (folder / 'p.segm.json').write_text(json.dumps(masks))
    return folder, ann_file


def scores_of_pycocotools(ann_file, file, kind):
    found = json.loads(file.read_text())
    for p in found if kind == 'segm' else ():
        p.pop('bbox')
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(ann_file))
        e = COCOeval(truth, truth.loadRes(found), kind)
        e.evaluate(), e.accumulate(), e.summarize()
    return dict(zip(NAMES, e.stats, strict=True))


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_is_pycocotools(predictions, kind):
    folder, ann_file = predictions
    expected = scores_of_pycocotools(ann_file, folder / f'p.{kind}.json', kind)
    assert score(folder / f'p.{kind}.json', ann_file) == (kind, expected)
    assert 0.1 < expected['AP'] < 0.9


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_backends_agree(predictions, kind):
    pytest.importorskip('faster_coco_eval')
    folder, ann_file = predictions
    _, slow = score(folder / f'p.{kind}.json', ann_file)
    _, fast = score(folder / f'p.{kind}.json', ann_file, 'faster-coco-eval')
    assert fast == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize(('content', 'sentence'), [
    ('[{"image_id": ', 'not JSON'),
    ('[]', 'an empty list'),
    ('{"a": 1}', 'a dict'),
    ('[1]', 'a list'),
    ('[{"image_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', 'detection 0 has no category_id'),
    ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1], "score": 1}]', 'four in its bbox'),
    ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": "high"}]', 'number as score'),
    ('[{"image_id": -7, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', 'image_id -7'),
    ('[{"image_id": "1", "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', "image_id '1'"),
    ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": NaN}]', 'number as score'),
])  # fmt: skip
def test_refuses_predictions(predictions, tmp_path, content, sentence):
    (tmp_path / 'p.json').write_text(content)
    with pytest.raises(ValueError, match=rf'p\.json.*{sentence}'):
        score(tmp_path / 'p.json', predictions[1])


@pytest.mark.parametrize('backend', BACKENDS)
def test_masks_in_every_code(predictions, tmp_path, backend):
    """Polygons and uncompressed run lengths score as pycocotools' own encoding of them."""
    ann_file = predictions[1]
    truth = COCO(str(ann_file))
    found = {'polygons': [], 'lists': [], 'compressed': []}
    for a in (a for a in truth.anns.values() if isinstance(a['segmentation'], list)):
        mask = truth.annToMask(a).T.ravel()
        edges = np.flatnonzero(np.diff(mask, prepend=0, append=1 - mask[-1]))
        code = truth.annToRLE(a)
        codes = {
            'polygons': a['segmentation'],
            'lists': dict(size=code['size'], counts=np.diff(edges, prepend=0).tolist()),
            'compressed': dict(code, counts=code['counts'].decode()),
        }
        for kind, segmentation in codes.items():
            found[kind].append(
                dict(image_id=a['image_id'], category_id=a['category_id'], score=0.5, segmentation=segmentation)
            )
    scores = []
    for kind, masks in found.items():
        (tmp_path / f'{kind}.json').write_text(json.dumps(masks))
        scores.append(score(tmp_path / f'{kind}.json', ann_file, backend))
    assert scores[0] == scores[1] == scores[2] and scores[0][0] == 'segm' and scores[0][1]['AP'] > 0.5


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize(('segmentation', 'sentence'), [
    (5, 'TypeError'),
    (dict(size=[2, 2], counts='04'), r'has size \[2, 2\], not that of the image'),
    (dict(size=[2, 2]), 'counts'),
])  # fmt: skip
def test_refuses_masks(predictions, tmp_path, backend, segmentation, sentence):
    folder, ann_file = predictions
    found = json.loads((folder / 'p.segm.json').read_text())
    (tmp_path / 'p.json').write_text(json.dumps([dict(found[0], segmentation=segmentation)]))
    with pytest.raises(ValueError, match=rf'p\.json cannot be scored by {backend}.*{sentence}') as error:
        score(tmp_path / 'p.json', ann_file, backend)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('part', ['{"images": 5', '{"images": [{}]', '{"images": []', '{"images": [{"id": 1}]'])
def test_refuses_annotations(predictions, tmp_path, part):
    (tmp_path / 'a.json').write_text(f'{part}, "annotations": [{{"id": 1}}], "categories": []}}')
    with pytest.raises(ValueError, match=r'a\.json'):
        score(predictions[0] / 'p.bbox.json', tmp_path / 'a.json')


def test_refuses_the_rest(predictions, tmp_path):
    folder, ann_file = predictions
    found = json.loads((folder / 'p.bbox.json').read_text())
    (tmp_path / 'p.json').write_text(json.dumps([dict(found[0], category_id=99)]))
    with pytest.raises(ValueError, match='category_id 99'):
        score(tmp_path / 'p.json', ann_file)
    with pytest.raises(ValueError, match='not COCO annotations'):
        score(tmp_path / 'p.json', folder / 'p.bbox.json')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        score(folder / 'nowhere.json', ann_file)
    with pytest.raises(ValueError, match="'cocoapi'"):
        score(folder / 'p.bbox.json', ann_file, 'cocoapi')
