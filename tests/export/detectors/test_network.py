"""Detections of the network that is exported, in PyTorch, against mmdet's own."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config

from eca_mm.engine import load_config, load_model
from eca_mm.export.detectors.network import ExportedDetector
from eca_mm.export.detectors.proof import match
from eca_mm.export.exported_part import calibrate_batch_norm
from tests.support import REPOSITORY

DENSE = dict(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=7)
BACKBONE = dict(type='eca_mm.ECAResNet', depth=18, kernel_size=3, norm_eval=True, out_indices=(0, 1, 2, 3))
NECK = dict(in_channels=[64, 128, 256, 512], out_channels=32)
SMALL = {'backbone': BACKBONE, 'neck': NECK}
ROI = dict(bbox_roi_extractor=dict(out_channels=32), mask_roi_extractor=dict(out_channels=32))
MASK = dict(in_channels=32, conv_out_channels=32, num_convs=1, num_classes=7)
RPN = dict(rpn_head=dict(in_channels=32, feat_channels=32), test_cfg=dict(rpn=dict(nms_pre=60, max_per_img=40)))
NAMES = {
    'retinanet': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'fcos': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'atss': 'atss/atss_r50_fpn_1x_coco.py',
    'gfl': 'gfl/gfl_r50_fpn_1x_coco.py',
    'rtmdet': 'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'yolox': 'yolox/yolox_tiny_8xb8-300e_coco.py',
    'detr': 'detr/detr_r50_8xb2-150e_coco.py',
    'mask': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'cascade': 'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
}


def small_config(name, tmp_path):
    """A config of mmdet's with the smallest parts."""
    (tmp_path / 'theirs.py').write_text(f"_base_ = 'mmdet::{NAMES[name]}'\n")
    cfg = load_config(tmp_path / 'theirs.py')
    if name in ('retinanet', 'fcos', 'atss', 'gfl'):
        _merge(cfg.model, dict(SMALL, bbox_head=DENSE))
        cfg.model.backbone = BACKBONE
    elif name in ('mask', 'cascade'):
        _merge(cfg.model, dict(SMALL, **RPN, roi_head=dict(ROI, mask_head=MASK)))
        cfg.model.backbone = BACKBONE
        heads = cfg.model.roi_head.bbox_head
        for head in heads if isinstance(heads, list) else [heads]:
            _merge(head, dict(in_channels=32, fc_out_channels=32, num_classes=7))
    elif name == 'detr':
        cfg.model.backbone = dict(BACKBONE, out_indices=(3,))
        _merge(cfg.model, dict(neck=dict(in_channels=[512]), encoder=dict(num_layers=1), decoder=dict(num_layers=1)))
    return cfg


def _merge(part, changes):
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(part.get(key), dict):
            _merge(part[key], value)
        else:
            part[key] = Config(dict(x=value)).x


def small_model(name, tmp_path):
    model = load_model(small_config(name, tmp_path), None, device='cpu')
    calibrate_batch_norm(torch.nn.Sequential(model.backbone, model.neck))
    for weight in model.bbox_head.parameters() if name in ('retinanet', 'yolox') else ():
        weight.data *= 0.4  # or many scores are exactly 1, in any order
    return model


@pytest.mark.filterwarnings('ignore::UserWarning')  # of mmdet's, about itself
@pytest.mark.parametrize('name', ['retinanet', 'fcos', 'atss', 'gfl', 'rtmdet', 'yolox', 'detr', 'mask', 'cascade'])
@torch.no_grad()
def test_finds_what_mmdet_finds(name, tmp_path):
    """Two images in one batch, each with padding of its own, with boxes in pixels of the originals."""
    model = small_model(name, tmp_path)
    network = ExportedDetector(model)
    images = torch.randn(2, 3, 160, 192, generator=torch.Generator().manual_seed(0))
    samples, shapes, scale = [], [(150, 192), (160, 120)], (1.25, 0.8)
    for i, (height, width) in enumerate(shapes):
        images[i, :, height:] = 0
        images[i, :, :, width:] = 0
        meta = dict(img_shape=(height, width), ori_shape=(round(height / 0.8), round(width / 1.25)), scale_factor=scale)
        samples.append(DetDataSample(metainfo=meta | dict(batch_input_shape=(160, 192), pad_shape=(160, 192))))
    if 'score_thr' in network.test_cfg:
        network.test_cfg.score_thr = 0.02
    inputs = network.defaults(2) | dict(sizes=torch.tensor(shapes).float(), factors=torch.tensor([[0.8, 1.25]] * 2))
    found = dict(zip(network.output_names(2), network(images, **inputs), strict=True))
    names = dict(bboxes='boxes', scores='scores', labels='labels')
    for i, sample in enumerate(model.predict(images, samples, rescale=True)):
        expected = {name: sample.pred_instances[key].numpy() for key, name in names.items()}
        own = {name: value[found['image'] == i].numpy() for name, value in found.items()}
        pairs = match(expected, own)  # equal scores may come in another order
        assert len(own['scores']) == len(expected['scores']) == pairs.equal > 20
        assert pairs.pixels < 1e-3 and pairs.score < 1e-5
        assert ('masks' in found) == (name in ('mask', 'cascade'))


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_no_detection_at_all(tmp_path):
    """Outputs without rows."""
    network = ExportedDetector(small_model('mask', tmp_path))
    inputs = network.defaults(1) | dict(score_threshold=torch.tensor(1.0))
    boxes, scores, labels, masks = network(torch.zeros(1, 3, 128, 128), **inputs)
    assert boxes.shape == (0, 4) and scores.shape == labels.shape == (0,) and masks.shape == (0, 28, 28)


@pytest.mark.filterwarnings('ignore::UserWarning')
class TestRefuses:
    @pytest.mark.parametrize(('config', 'words'), [
        ('legacy/faster_rcnn_eca_r50_fpn.py', 'LegacyRoIHead.*Faster, Mask and Cascade'),
        ('legacy/retinanet_eca_r50_fpn.py', 'LegacyRetinaHead.*RetinaNet, FCOS'),
    ])  # fmt: skip
    def test_other_heads(self, config, words):
        options = {'model.backbone.depth': 18, 'model.neck.in_channels': [64, 128, 256, 512]}
        model = load_model(load_config(REPOSITORY / 'configs' / config, cfg_options=options), None, device='cpu')
        with pytest.raises(ValueError, match=words):
            ExportedDetector(model)

    def test_other_settings(self, tmp_path):
        model = small_model('mask', tmp_path)
        model.roi_head.test_cfg.nms = dict(type='soft_nms', iou_threshold=0.5)
        with pytest.raises(ValueError, match='soft_nms.*iou_threshold'):
            ExportedDetector(model)
