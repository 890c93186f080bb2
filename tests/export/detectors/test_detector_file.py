"""Whole detectors as files: Mask R-CNN as ONNX with resizing in it, Faster R-CNN as a program of torch.export."""

import json

import numpy as np
import pytest
import torch

from eca_mm.engine import evaluate, load_config, load_model, predict
from eca_mm.export import export
from eca_mm.export.detectors import detector_file, files
from eca_mm.export.detectors.proof import Agreement, match
from tests.export.detectors.test_network import small_config
from tests.support import FASTER, MASK

STAGES = dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(0, 1))  # half of them in half the time
SMALL = {
    **{f'model.backbone.{key}': value for key, value in dict(depth=18, kernel_size=3, **STAGES).items()},
    **{f'model.neck.{key}': value for key, value in dict(in_channels=[64, 128], out_channels=16, num_outs=2).items()},
    'model.rpn_head.in_channels': 16, 'model.rpn_head.feat_channels': 16,
    'model.rpn_head.anchor_generator.strides': [4, 8],
    'model.roi_head.bbox_head.in_channels': 16, 'model.roi_head.bbox_head.fc_out_channels': 16,
    'model.test_cfg.rpn.max_per_img': 30, 'model.test_cfg.rcnn.max_per_img': 10,
}  # fmt: skip
EXTRACTOR = dict(out_channels=16, featmap_strides=[4, 8])


def small(config, parts, shapes_root, tmp_path):
    changes = {f'model.roi_head.{part}.{key}': value for part in parts for key, value in EXTRACTOR.items()}
    mask = {'model.roi_head.mask_head.in_channels': 16, 'model.roi_head.mask_head.conv_out_channels': 16}
    options = SMALL | changes | (mask if len(parts) > 1 else {}) | {'test_dataloader.dataset.indices': 8}
    return load_config(config, data_root=str(shapes_root), work_dir=str(tmp_path / 'work'), cfg_options=options)


@pytest.mark.filterwarnings('ignore::UserWarning')  # of mmengine's, on a second run in a process
def test_onnx(shapes_root, tmp_path):
    """Written, proved, run without torch on pictures of any size, with other thresholds, and evaluated."""
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from eca_mm.onnx_detector import Detector, read_image

    cfg = small(MASK, ('bbox_roi_extractor', 'mask_roi_extractor'), shapes_root, tmp_path)
    model = load_model(cfg, None, device='cpu')
    for head in (model.roi_head.bbox_head.fc_cls, model.roi_head.mask_head.conv_logits):
        head.weight.data *= 4  # scores that differ
    torch.save(model.state_dict(), tmp_path / 'x.pth')
    val = sorted((shapes_root / 'val').glob('*.png'))[:4]
    report = export(
        cfg, str(tmp_path / 'x.pth'), tmp_path / 'x.onnx', dynamic=True, preprocess=True, images=val, rounds=0
    )
    assert report.agreement.images == 4 and report.agreement.holds and report.agreement.equal > 20
    assert f'{report.agreement.equal} are equal, up to' in str(report) and 'masks' in report.metadata['outputs']
    graph = onnx.load(report.file).graph
    assert {node.domain for node in graph.node} == {''} and graph.input[0].name == 'image'

    detector = Detector(report.file)
    assert detector.facts['classes'] == ['circle', 'square', 'triangle', 'star']
    found, (expected,) = detector(read_image(val[0])), predict(load_model(cfg, tmp_path / 'x.pth'), val[:1]).values()
    np.testing.assert_allclose(found['boxes'], expected['bboxes'], rtol=0, atol=0.05)
    np.testing.assert_allclose(found['scores'], expected['scores'], rtol=0, atol=1e-4)
    assert found['labels'].tolist() == expected['labels']
    wide = np.random.default_rng(0).integers(0, 256, (60, 201, 3), dtype=np.uint8)
    assert (detector(wide)['boxes'].max(0) <= [201, 60, 201, 60]).all()
    fewer = Detector(report.file, score_threshold=float(found['scores'][2]))(read_image(val[0]))
    assert len(fewer['scores']) == 2
    apart = Detector(report.file, iou_threshold=0.01)(read_image(val[0]))['boxes'][:2]
    assert apart.tolist() != found['boxes'][:2].tolist()

    metrics = evaluate(cfg, str(report.file))
    of_torch = evaluate(
        small(MASK, ('bbox_roi_extractor', 'mask_roi_extractor'), shapes_root, tmp_path), str(tmp_path / 'x.pth')
    )
    assert metrics.keys() == of_torch.keys() and {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(metrics)
    assert all(abs(metrics[name] - of_torch[name]) <= 1e-3 for name in metrics)
    with pytest.raises(ValueError, match='fuse'):
        evaluate(cfg, str(report.file), fuse=True)


def test_torch_export_of_two_images(shapes_root, tmp_path):
    cfg = small(FASTER, ('bbox_roi_extractor',), shapes_root, tmp_path)
    report = export(cfg, 'none', tmp_path / 'x.pt2', batch=2, rounds=0)
    assert report.agreement.holds and report.agreement.images == 8
    extra = {'metadata.json': ''}
    program = torch.export.load(report.file, extra_files=extra).module()
    assert json.loads(extra['metadata.json'])['outputs'] == 'boxes, scores, labels, image'
    images, threshold = torch.rand(2, 3, 128, 128), torch.tensor(0.0)
    found = program(images, sizes=torch.full((2, 2), 128.0), factors=torch.ones(2, 2), score_threshold=threshold)
    assert found[3].unique().tolist() == [0, 1] and len(found[0]) == 20


def test_flips_are_counted():
    """One of three detections is another one in the file."""
    boxes = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], np.float32)
    expected = dict(boxes=boxes, scores=np.array([0.9, 0.8, 0.7], np.float32), labels=np.array([0, 1, 1]))
    got = dict(expected, boxes=boxes + np.array([[0.01], [3], [0]], np.float32))
    pairs = match(expected, got)
    assert pairs.equal == 2 and pairs.pixels == pytest.approx(0.01, abs=1e-3)
    agreement = Agreement(1, 3, 3, pairs.equal, pairs.pixels, pairs.score, None, 0.05)
    assert not agreement.holds and '1 only in PyTorch, 1 only in the file' in str(agreement)
    assert agreement._replace(pytorch=200, exported=201, equal=199).holds


class TestRefuses:
    @pytest.mark.parametrize(('name', 'changes', 'words'), [
        ('x.ts', {}, 'onnx or .pt2'), ('x.onnx', dict(tolerance=0.1), 'tolerance 0.1'),
        ('x.onnx', dict(size=(16, 128)), '32 x 32 pixels or more, got 16 x 128'),
        ('x.onnx', dict(preprocess=True, batch=2), 'batch 1'), ('x.pt2', dict(preprocess=True), 'ONNX'),
        ('x.onnx', dict(part='features', preprocess=True), 'part is features'),
    ])  # fmt: skip
    def test_arguments(self, shapes_root, tmp_path, name, changes, words):
        cfg = small(FASTER, ('bbox_roi_extractor',), shapes_root, tmp_path)
        with pytest.raises(ValueError, match=words):
            export(cfg, 'none', tmp_path / name, **changes)
        assert not (tmp_path / name).exists()

    def test_old_torch(self, monkeypatch):
        monkeypatch.setattr(torch, '__version__', '2.5.1')
        with pytest.raises(ValueError, match=r'torch 2\.6 or newer.*2\.5\.1'):
            files.trace(None, None, False)

    def test_files_that_differ(self, shapes_root, tmp_path, monkeypatch):
        """Nothing is put in place."""
        cfg = small(FASTER, ('bbox_roi_extractor',), shapes_root, tmp_path)
        monkeypatch.setattr(detector_file, 'trace', lambda *_: None)
        monkeypatch.setattr(detector_file, 'write_pt2', lambda *_: None)
        monkeypatch.setattr(detector_file, '_runner', lambda *_: None)
        monkeypatch.setattr(detector_file, 'compare', lambda *_: Agreement(8, 50, 49, 40, 0.0, 0.0, None, 0.05))
        with pytest.raises(
            ValueError, match='differs from PyTorch, nothing is written: 50 detections.*10 only in PyTorch'
        ):
            export(cfg, 'none', tmp_path / 'x.pt2', rounds=0)
        assert not (tmp_path / 'x.pt2').exists()

    def test_unreadable_pictures(self, shapes_root, tmp_path):
        (tmp_path / 'x.png').write_text('no')
        cfg = small(FASTER, ('bbox_roi_extractor',), shapes_root, tmp_path)
        with pytest.raises(ValueError, match=r'x\.png is not a picture'):
            detector_file.export_detector(
                cfg, 'none', tmp_path / 'x.pt2', None, size=None, batch=1, dynamic=True, preprocess=False,
                images=[tmp_path / 'x.png'], rounds=0, fuse=False,
            )  # fmt: skip


@pytest.mark.filterwarnings('ignore::UserWarning')  # of mmdet's, about itself
def test_unknown_head(tmp_path):
    cfg = small_config('retinanet', tmp_path)
    cfg.model.bbox_head.type = 'PAAHead'
    with pytest.raises(ValueError, match=r'PAAHead'):
        export(cfg, 'none', tmp_path / 'x.onnx')
