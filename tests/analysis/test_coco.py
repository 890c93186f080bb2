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
def ann_file(coco_root, tmp_path_factory):
    """Real annotations of 40 images."""
    content = json.loads((coco_root / 'annotations/instances_val2017.json').read_text())
    content['images'] = content['images'][:40]
    ids = {image['id'] for image in content['images']}
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] in ids]
    file = tmp_path_factory.mktemp('annotations') / 'truth.json'
    file.write_text(json.dumps(content))
    return file


@pytest.fixture(scope='module')
def predictions(ann_file):
    """The annotations, shaken: boxes and masks with scores, some of them wrong."""
    truth, rng = COCO(str(ann_file)), np.random.default_rng(0)
    boxes, masks = [], []
    for a in truth.anns.values():
        common = dict(image_id=a['image_id'], category_id=a['category_id'], score=float(rng.random()))
        box = list(np.array(a['bbox']) + rng.normal(0, 3, 4) * (1, 1, 0, 0))
        boxes.append(dict(common, bbox=box))
        mask = np.roll(truth.annToMask(a), rng.integers(0, 4), axis=1)
        code = rle.encode(np.asfortranarray(mask))
        masks.append(dict(common, bbox=box, segmentation=dict(code, counts=code['counts'].decode())))
    return dict(bbox=boxes, segm=masks)


@pytest.fixture
def scored(ann_file, tmp_path):
    def run(content, backend='pycocotools'):
        (tmp_path / 'p.json').write_text(content if isinstance(content, str) else json.dumps(content))
        return score(tmp_path / 'p.json', ann_file, backend)

    return run


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_is_pycocotools(predictions, scored, ann_file, kind):
    found = [{k: v for k, v in p.items() if k != 'bbox' or kind == 'bbox'} for p in predictions[kind]]
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(ann_file))
        e = COCOeval(truth, truth.loadRes(found), kind)
        e.evaluate(), e.accumulate(), e.summarize()
    expected = dict(zip(NAMES, e.stats, strict=True))
    assert scored(predictions[kind]) == (kind, expected, 40) and 0.1 < expected['AP'] < 0.9
    pytest.importorskip('faster_coco_eval')
    assert scored(predictions[kind], 'faster-coco-eval') == (kind, pytest.approx(expected, abs=1e-9), 40)


@pytest.mark.parametrize('backend', BACKENDS)
def test_masks_in_every_code(scored, ann_file, backend):
    """Polygons and uncompressed run lengths score as pycocotools' own encoding of them."""
    truth = COCO(str(ann_file))
    found = {'polygons': [], 'lists': [], 'compressed': []}
    for a in (a for a in truth.anns.values() if isinstance(a['segmentation'], list)):
        mask = truth.annToMask(a).T.ravel()
        edges = np.flatnonzero(np.diff(mask, prepend=0, append=1 - mask[-1]))
        code = truth.annToRLE(a)
        common = dict(image_id=a['image_id'], category_id=a['category_id'], score=0.5)
        found['polygons'].append(dict(common, segmentation=a['segmentation']))
        counts = np.diff(edges, prepend=0).tolist()
        found['lists'].append(dict(common, segmentation=dict(size=code['size'], counts=counts)))
        found['compressed'].append(dict(common, segmentation=dict(code, counts=code['counts'].decode())))
    first, *others = (scored(masks, backend) for masks in found.values())
    assert others == [first, first] and first[0] == 'segm' and first[1]['AP'] > 0.5


@pytest.mark.parametrize(('content', 'sentence'), [
    ('[{"image_id": ', 'not JSON'),
    ('[]', 'an empty list'),
    ('{"a": 1}', 'a dict'),
    ('[1]', 'a list'),
    ('[{"image_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', 'detection 0 has no category_id'),
    ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1], "score": 1}]', 'detection 0 needs x, y, width and height'),
    ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, -1, 1], "score": 1}]', r'not below 0, got \[0, 0, -1, 1\]'),
    ('[{"image_id": 1, "category_id": 1, "bbox": [0, NaN, 1, 1], "score": 1}]', r'got \[0, nan, 1, 1\]'),
    ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": "high"}]', 'number as score'),
    ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": NaN}]', 'number as score'),
    ('[{"image_id": "1", "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', "image_id '1'"),
    ('[{"image_id": -7, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', 'image_id -7'),
])  # fmt: skip
def test_refuses_predictions(scored, content, sentence):
    with pytest.raises(ValueError, match=rf'p\.json.*{sentence}'):
        scored(content)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize(('segmentation', 'sentence'), [
    (5, 'neither polygons nor run lengths: 5'),
    (dict(size=[2, 2], counts='04'), r'run lengths for \[2, 2\], and the image is \[\d+, \d+\]'),
    ([[1, 2, 3]], 'a polygon of 3 numbers'),
    ([[1, 2, 3, 4, 1e9, 6]], r'a polygon that goes to 1e\+09'),  # ends the process in pycocotools
    ([], 'no mask'),
])  # fmt: skip
def test_refuses_masks(predictions, scored, backend, segmentation, sentence):
    with pytest.raises(ValueError, match=rf'p\.json: detection 0 has {sentence}') as error:
        scored([dict(predictions['segm'][0], segmentation=segmentation)], backend)
    assert '\n' not in str(error.value)


def test_refuses_the_rest(predictions, scored, ann_file, tmp_path):
    found = predictions['bbox']
    with pytest.raises(ValueError, match='category_id 99'):
        scored([dict(found[0], category_id=99)])
    with pytest.raises(ValueError, match="'cocoapi'"):
        scored(found, 'cocoapi')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        score(tmp_path / 'nowhere.json', ann_file)
    with pytest.raises(ValueError, match='not COCO annotations'):
        score(tmp_path / 'p.json', tmp_path / 'p.json')
    for part in ('{"images": 5', '{"images": [{}]', '{"images": []', '{"images": [{"id": 1}]'):
        (tmp_path / 'a.json').write_text(f'{part}, "annotations": [{{"id": 1}}], "categories": []}}')
        with pytest.raises(ValueError, match=r'a\.json'):
            score(tmp_path / 'p.json', tmp_path / 'a.json')


def test_refuses_annotations(predictions, ann_file, tmp_path):
    """Boxes where boxes are scored, and masks where masks are."""
    content = json.loads(ann_file.read_text())
    number = content['annotations'][3]['id']
    for kind, change, sentence in (
        ('bbox', dict(bbox=[1, 2, float('inf'), 4]), 'needs x, y, width and height'),
        ('segm', dict(segmentation=[[1, 2, 3, 4, float('nan'), 6]]), 'has a polygon with a NaN'),
    ):
        annotations = [a | change if a['id'] == number else a for a in content['annotations']]
        (tmp_path / 'a.json').write_text(json.dumps(content | dict(annotations=annotations)))
        (tmp_path / 'p.json').write_text(json.dumps(predictions[kind][:1]))
        with pytest.raises(ValueError, match=rf'a\.json: annotation {number} {sentence}'):
            score(tmp_path / 'p.json', tmp_path / 'a.json')
