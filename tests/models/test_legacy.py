"""MMDetection 1.x: its numbers, worked out by hand from mmdet's docs/en/compatibility.md."""

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.task_modules import LegacyDeltaXYWHBBoxCoder
from mmdet.registry import TASK_UTILS
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

import eca_mm.models.legacy  # noqa: F401  (registers the coder)
from eca_mm.checkpoints import kernel_sizes
from eca_mm.checkpoints.known import KNOWN
from eca_mm.paper.complexity import build_on_meta
from tests.reference.mmdet1 import CONFIGS, build, detector_config

# Config: the authors' name of the detector.
RELEASED = {
    'faster_rcnn_eca_r50_fpn': 'faster_rcnn_ecanet50_k5_bs8_lr0.01',
    'faster_rcnn_eca_r101_fpn': 'faster_rcnn_ecanet101_3357_bs8_lr0.01',
    'mask_rcnn_eca_r50_fpn': 'mask_rcnn_ecanet50_k3377_bs8_lr0.01',
    'mask_rcnn_eca_r101_fpn': 'mask_rcnn_ecanet101_k3357_bs8_lr0.01',
    'retinanet_eca_r50_fpn': 'RetinaNet_ecanet50_k3377_bs8_lr0.01',
    'retinanet_eca_r101_fpn': 'RetinaNet_ecanet101_k3357_bs8_lr0.01',
}


# 20 x 40 pixels around (19.5, 39.5); moved by (+2, -4), twice as wide, half as high.
BOX = torch.tensor([[10.0, 20.0, 29.0, 59.0]])
MOVED = torch.tensor([[2.0, 26.0, 41.0, 45.0]])
DELTA = torch.tensor([[0.1, -0.1, math.log(2), -math.log(2)]])


def legacy_coder(**kwargs):
    return TASK_UTILS.build(dict(type='LegacyBoxCoder', **kwargs))


def test_coder_counts_both_ends():
    coder = legacy_coder()
    torch.testing.assert_close(coder.encode(BOX, MOVED), DELTA)
    torch.testing.assert_close(coder.decode(BOX, DELTA), MOVED)
    # mmdet's own legacy coder agrees on the deltas, and leaves the half pixels out of the boxes.
    theirs = LegacyDeltaXYWHBBoxCoder()
    torch.testing.assert_close(theirs.encode(BOX, MOVED), DELTA)
    torch.testing.assert_close(theirs.decode(BOX, DELTA), MOVED + torch.tensor([-0.5, -0.5, 0.5, 0.5]))


def test_coder_keeps_boxes_in_the_image_and_classes_apart():
    """And takes means and deviations, the second stage's (0.1, 0.1, 0.2, 0.2)."""
    coder = legacy_coder(target_stds=(0.1, 0.1, 0.2, 0.2))
    stds = torch.tensor([0.1, 0.1, 0.2, 0.2])
    decoded = coder.decode(BOX, torch.cat((DELTA / stds, torch.zeros(1, 4)), 1), max_shape=(44, 40))
    torch.testing.assert_close(decoded, torch.tensor([[2.0, 26.0, 39.0, 43.0, 10.0, 20.0, 29.0, 43.0]]))
    assert coder.decode(BOX[:0], DELTA[:0], max_shape=(44, 40)).shape == (0, 4)


@pytest.mark.parametrize('name', ['faster_rcnn_eca_r50_fpn', 'retinanet_eca_r50_fpn'])
def test_anchors_are_off_centre_and_in_whole_pixels(name):
    cfg = detector_config(name).model
    head = cfg.rpn_head if 'rpn_head' in cfg else cfg.bbox_head
    generator = TASK_UTILS.build(head.anchor_generator)
    finest = 4 if 'rpn_head' in cfg else 8
    assert generator.strides == [(finest * 2**i,) * 2 for i in range(5)]
    if 'rpn_head' in cfg:
        # Half as high as wide, stride 4: 45.25 x 22.63 around 1.5, from -20.63 to 23.63 and from -9.31 to 12.31.
        assert generator.base_anchors[0].tolist() == [[-21, -9, 24, 12], [-14, -14, 17, 17], [-9, -21, 12, 24]]
        assert generator.base_anchors[4][1].tolist() == [-224, -224, 287, 287]  # 512 around 31.5
    else:
        # Octaves 4 and 4 x 2^(1/3) of stride 8: 32 and 40.32 wide around 3.5; of stride 128: 512 around 63.5.
        assert generator.base_anchors[0][3:5].tolist() == [[-12, -12, 19, 19], [-16, -16, 23, 23]]
        assert generator.base_anchors[4][3].tolist() == [-192, -192, 319, 319]


def test_rois_end_after_their_last_pixel():
    cfg = detector_config('mask_rcnn_eca_r50_fpn').model.roi_head
    init_default_scope('mmdet')
    for part, bins in ((cfg.bbox_roi_extractor, 7), (cfg.mask_roi_extractor, 14)):
        extractor = MODELS.build({**part, 'out_channels': 1})
        pyramid = tuple(torch.arange(64.0).expand(1, 1, 64, 64).contiguous() + 1000 * i for i in range(4))
        # 16 and 112 pixels wide: on the first map cells 4 to 8; the second is the first RoI of the second map.
        rois = torch.tensor([[0.0, 16, 16, 31, 31], [0.0, 16, 16, 127, 127]])
        steps = (torch.arange(bins) + 0.5) / bins
        expected = torch.stack((4 + 4 * steps, 1002 + 14 * steps))[:, None, None].expand(2, 1, bins, bins)
        torch.testing.assert_close(extractor(pyramid, rois), expected)


def perfect_head(name, monkeypatch):
    """A second stage that keeps its RoI, as class 2, and sees it on its mask's left half only."""
    head = build(name, 'roi_head')
    scores = 200.0 * nn.functional.one_hot(torch.tensor([2]), 81)
    monkeypatch.setattr(head, '_bbox_forward', lambda *_: dict(cls_score=scores, bbox_pred=torch.zeros(1, 320)))
    if head.with_mask:
        logits = torch.where(torch.arange(28) < 14, 9.0, -9.0).expand(80, 28, 28)
        monkeypatch.setattr(head, '_mask_forward', lambda x, rois: dict(mask_preds=logits.repeat(len(rois), 1, 1, 1)))
    return head


@pytest.mark.parametrize('name', ['faster_rcnn_eca_r50_fpn', 'mask_rcnn_eca_r50_fpn'])
def test_a_perfect_detector_returns_the_annotation(name, monkeypatch):
    """1.x trained on [x, y, x + w - 1, y + h - 1], enlarged; what it finds must come back as [x, y, w, h]."""
    head = perfect_head(name, monkeypatch)
    (x, y, w, h), scale = (30.0, 40.0, 20.0, 10.0), 2.0
    enlarged = torch.tensor([[x, y, x + w - 1, y + h - 1]]) * scale
    anchor = torch.tensor([[50.0, 70.0, 81.0, 101.0]])
    coder = legacy_coder()
    proposal = coder.decode(anchor, coder.encode(anchor, enlarged), max_shape=(200, 200))
    torch.testing.assert_close(proposal, enlarged)

    sample = demo_mm_inputs(1, [[3, 200, 200]])['data_samples'][0]
    sample.set_metainfo(dict(img_shape=(200, 200), ori_shape=(100, 100), scale_factor=(scale, scale)))
    with torch.no_grad():
        (found,) = head.predict((), [InstanceData(bboxes=proposal)], [sample], rescale=True)
    assert found.labels.tolist() == [2]
    torch.testing.assert_close(found.bboxes, torch.tensor([[x, y, x + w, y + h]]))
    if head.with_mask:
        expected = torch.zeros(100, 100, dtype=torch.bool)
        expected[40:50, 30:40] = True
        assert torch.equal(found.masks[0], expected)


def test_perfect_boxes_are_perfect_on_coco(coco_root):
    """The same for every annotation: AP 1, where mmdet's coder alone cannot do better than 0.939, 0.832 for small."""
    coco = COCO(coco_root / 'annotations/instances_val2017.json')
    annotations = [a for a in coco.dataset['annotations'] if not a['iscrowd']]
    sizes = torch.tensor([[coco.imgs[a['image_id']][side] for side in ('width', 'height')] for a in annotations])
    scale = torch.minimum(1333 / sizes.amax(1), 800 / sizes.amin(1))[:, None]
    x, y, w, h = torch.tensor([a['bbox'] for a in annotations]).unbind(1)
    enlarged = torch.stack((x, y, x + w - 1, y + h - 1), 1) * scale
    anchors = enlarged + torch.tensor([3.0, -4.0, 5.0, 6.0])
    for coder, ends, expected in ((legacy_coder(), 1, (1, 1)), (LegacyDeltaXYWHBBoxCoder(), 0, (0.939, 0.832))):
        proposals = coder.decode(anchors, coder.encode(anchors, enlarged))
        boxes = coder.decode(proposals, torch.zeros_like(proposals)) / scale
        boxes[:, 2:] += ends - boxes[:, :2]
        found = [dict(a, bbox=box, score=1.0) for a, box in zip(annotations, boxes.tolist(), strict=True)]
        evaluation = COCOeval(coco, coco.loadRes(found), 'bbox')
        for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
            step()
        assert (evaluation.stats[0], evaluation.stats[3]) == pytest.approx(expected, abs=1e-3)


def test_retinanet_returns_the_annotation():
    head = build('retinanet_eca_r50_fpn', 'bbox_head')
    boxes = torch.tensor([[60.0, 80.0, 98.0, 98.0]])
    results = InstanceData(bboxes=boxes, scores=torch.ones(1), labels=torch.tensor([0]))
    found = head._bbox_post_process(results, head.test_cfg, rescale=True, img_meta=dict(scale_factor=(2.0, 2.0)))
    torch.testing.assert_close(found.bboxes, torch.tensor([[30.0, 40.0, 50.0, 50.0]]))


def test_nms_counts_both_ends():
    """Two boxes of 2 x 1 pixels that share one: 1 / 3 with both ends counted; without, they have no area."""
    head = build('retinanet_eca_r50_fpn', 'bbox_head')
    for threshold, left in ((0.3, 1), (0.4, 2)):
        head.test_cfg.nms.iou_threshold = threshold
        boxes = torch.tensor([[5.0, 5.0, 6.0, 5.0], [6.0, 5.0, 7.0, 5.0]])
        results = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.8]), labels=torch.tensor([0, 0]))
        assert len(head._bbox_post_process(results, head.test_cfg)) == left


def test_masks_are_pasted_as_in_1x():
    """Against the loop of 1.x's get_seg_masks, on boxes at odd places and of less than a pixel."""
    torch.manual_seed(0)
    head = build('mask_rcnn_eca_r50_fpn', 'roi_head').mask_head
    corners, scale = (
        torch.tensor([[0, 0, 99.0, 79], [3.7, 5.2, 41.9, 30.1], [10.4, 10.4, 10.2, 10.9], [98.9, 78.8, 99, 79]]),
        1.6,
    )
    logits, labels = torch.randn(4, 80, 28, 28), torch.tensor([0, 79, 7, 3])
    meta = dict(ori_shape=(80, 100), scale_factor=(1.6, 1.6))
    boxes = corners * scale + 1e-3
    masks = head._predict_by_feat_single(logits, boxes, labels, meta, ConfigDict(mask_thr_binary=0.5), rescale=True)
    torch.testing.assert_close(boxes, corners + 1e-3 / 1.6)  # scaled in place, as mmdet's does
    for mask, box, logit, label in zip(masks, boxes.numpy(), logits, labels, strict=True):
        box = box.astype(np.int32)
        w, h = max(box[2] - box[0] + 1, 1), max(box[3] - box[1] + 1, 1)
        expected = np.zeros((80, 100), dtype=np.uint8)
        resized = cv2.resize(logit[label].sigmoid().numpy(), (w, h), interpolation=cv2.INTER_LINEAR)
        expected[box[1] : box[1] + h, box[0] : box[0] + w] = resized > 0.5
        assert np.array_equal(mask.numpy(), expected)


@pytest.mark.parametrize('name', RELEASED)
def test_config_is_of_the_released_detector(name):
    assert RELEASED[name] in (CONFIGS / f'{name}.py').read_text().split('"""')[1]
    cfg = detector_config(name)
    assert cfg.get('backbone_weights') is None and cfg.model.backbone.init_cfg is None
    assert cfg.val_evaluator.ann_file.endswith('instances_val2017.json')
    (resize,) = (t for t in cfg.test_dataloader.dataset.pipeline if t.type == 'Resize')
    assert tuple(resize.scale) == (1333, 800) and resize.keep_ratio
    preprocessor = cfg.model.data_preprocessor
    assert (preprocessor.mean, preprocessor.std) == ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    assert preprocessor.bgr_to_rgb and preprocessor.pad_size_divisor == 32

    model = build_on_meta(SimpleNamespace(build=lambda: build(name)))
    assert (model.backbone.depth, model.backbone.style) == (101 if 'r101' in name else 50, 'pytorch')
    assert kernel_sizes(model.backbone.state_dict()) == KNOWN[RELEASED[name]][0]
    dense = model.bbox_head if 'retina' in name else model.rpn_head
    anchors = dense.prior_generator
    assert (type(anchors).__name__, anchors.center_offset) == ('LegacyAnchorGenerator', 0.5)
    coders, test = [dense.bbox_coder], cfg.model.test_cfg.get('rpn', cfg.model.test_cfg)
    assert (test.nms_pre, test.min_bbox_size, test.nms.offset) == (1000, -1, 1)
    if 'retina' not in name:
        assert (test.max_per_img, test.nms.iou_threshold) == (1000, 0.7)
        test = cfg.model.test_cfg.rcnn
        coders.append(model.roi_head.bbox_head.bbox_coder)
        assert test.nms.offset == 1 and coders[1].stds == [0.1, 0.1, 0.2, 0.2]
        extractors = [model.roi_head.bbox_roi_extractor]
        extractors += [model.roi_head.mask_roi_extractor] if 'mask' in name else []
        layers = [layer for extractor in extractors for layer in extractor.roi_layers]
        assert len(layers) == 4 * len(extractors) and {(n.aligned, n.sampling_ratio) for n in layers} == {(False, 2)}
    assert {type(coder).__name__ for coder in coders} == {'LegacyBoxCoder'}
    assert (test.score_thr, test.nms.iou_threshold, test.max_per_img) == (0.05, 0.5, 100)


@pytest.mark.parametrize('name', [name for name in RELEASED if 'r50' in name])
def test_detects(name):
    # A test so small that random weights detect something.
    prefix = '' if 'retina' in name else 'rcnn.'
    small = {f'{prefix}score_thr': 0.0, f'{prefix}max_per_img': 9} | ({'rpn.max_per_img': 20} if prefix else {})
    model = build(name, **{f'model.test_cfg.{key}': value for key, value in small.items()})
    batch = model.data_preprocessor(demo_mm_inputs(1, [[3, 96, 128]], num_classes=80), False)
    with torch.no_grad():
        found = model(**batch, mode='predict')[0].pred_instances
    assert len(found) == 9 and ('masks' in found) == ('mask' in name)
    boxes = found.bboxes
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 128 and boxes[:, 3].max() <= 96
    assert (boxes[:, 2:] >= boxes[:, :2]).all()


def test_every_config_is_tested():
    assert sorted(RELEASED) == sorted(f.stem for f in CONFIGS.glob('*.py') if f.stem != '_base_')
