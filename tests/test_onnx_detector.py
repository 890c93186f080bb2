"""The module that runs exported detectors, against OpenCV and mmdet."""

import ast
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmengine.config import Config
from PIL import Image

pytest.importorskip('onnxruntime')
from eca_mm import onnx_detector
from eca_mm.export.detectors.preprocessing import Preprocessing, default_size, preprocessing_of
from eca_mm.onnx_detector import Detector, paste_mask, preprocess, read_image, resize
from tests.support import COCO_TINY

CAFFE = dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], bgr_to_rgb=False)
GREY = dict(img=(114, 114, 114))
RESIZE = dict(type='Resize', keep_ratio=True)
PIPELINES = {
    'coco': ([dict(RESIZE, scale=(133, 80))], dict(mean=[1.5, 2, 3], std=[4, 5, 6], bgr_to_rgb=True)),
    'shapes': ([dict(type='Resize', scale=(64, 96))], dict(mean=[0, 0, 0], std=[255, 255, 255], bgr_to_rgb=True)),
    'rtmdet': ([dict(RESIZE, scale=(96, 96)), dict(type='Pad', size=(96, 96), pad_val=GREY)], CAFFE),
    'yolox': ([dict(RESIZE, scale=(80, 80)), dict(type='Pad', pad_to_square=True, pad_val=GREY)], {}),
}


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def config_of(name):
    resizing, pixels = PIPELINES[name]
    pixels = dict(type='DetDataPreprocessor', pad_size_divisor=32, **pixels)
    pipeline = [dict(type='LoadImageFromFile'), *resizing, dict(type='PackDetInputs')]
    return Config(dict(model=dict(data_preprocessor=pixels), test_dataloader=dict(dataset=dict(pipeline=pipeline))))


def by_mmdet(cfg, image):
    """The batch that mmdet makes of an image, and its sample."""
    from mmdet.models import DetDataPreprocessor
    from mmdet.registry import TRANSFORMS
    from mmengine.dataset import Compose, pseudo_collate

    with TRANSFORMS.switch_scope_and_registry('mmdet'):
        pipeline = Compose([TRANSFORMS.build(t) for t in cfg.test_dataloader.dataset.pipeline[1:]])
    data = pipeline(
        dict(img=image[..., ::-1], img_shape=image.shape[:2], ori_shape=image.shape[:2], img_id=0, img_path='')
    )
    preprocessor = DetDataPreprocessor(
        **{key: value for key, value in cfg.model.data_preprocessor.items() if key != 'type'}
    )
    batch = preprocessor(pseudo_collate([data]), False)
    return batch['inputs'].numpy(), batch['data_samples'][0]


@pytest.mark.parametrize('old', [(1, 1), (2, 300), (97, 131), (160, 160)])
@pytest.mark.parametrize('new', [(1, 7), (80, 80), (211, 64), (128, 320)])
def test_resizing_is_opencvs(old, new):
    """In every pixel."""
    image = picture(*old)
    np.testing.assert_array_equal(resize(image, *new), cv2.resize(image, new[::-1], interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize('name', PIPELINES)
@pytest.mark.parametrize('shape', [(61, 90), (170, 40)])
def test_images_are_mmdets(name, shape):
    """In numpy, and as the network that is put into files."""
    cfg, image = config_of(name), picture(*shape)
    images, sample = by_mmdet(cfg, image)
    facts = preprocessing_of(cfg, None)
    got = preprocess(image, facts)
    np.testing.assert_allclose(got['images'], images, rtol=0, atol=2e-6)
    assert got['sizes'].tolist() == [list(map(float, sample.img_shape))]
    np.testing.assert_allclose(1 / got['factors'][0], sample.scale_factor, rtol=1e-6)
    for key, tensor in zip(('images', 'sizes', 'factors'), Preprocessing(facts)(torch.from_numpy(image)), strict=True):
        np.testing.assert_allclose(tensor.numpy(), got[key], rtol=1e-7, atol=2e-6)


@pytest.mark.parametrize('shape', [(61, 90), (170, 40)])
def test_fixed_size(shape):
    """Any image fits, in the numpy form and in the network."""
    cfg, image = config_of('coco'), picture(*shape)
    assert default_size(preprocessing_of(cfg, None)) == (96, 160)
    facts = preprocessing_of(cfg, (64, 96))
    got = preprocess(image, facts)
    assert (
        got['images'].shape == (1, 3, 64, 96) and (got['sizes'] <= [64, 96]).all() and (got['sizes'] == [64, 96]).any()
    )
    images, sizes, factors = Preprocessing(facts)(torch.from_numpy(image))
    np.testing.assert_allclose(images.numpy(), got['images'], rtol=0, atol=2e-6)
    assert sizes.tolist() == got['sizes'].tolist() and factors.tolist() == got['factors'].tolist()


@pytest.mark.parametrize(('transform', 'words'), [
    (dict(type='RandomFlip', prob=1.0), 'RandomFlip'), (dict(type='LoadImageFromFile', to_float32=True), 'to_float32=True'),
    (dict(type='Resize', scale=(9, 9), interpolation='area'), "interpolation='area'"),
    (dict(type='Pad', size_divisor=32), 'size_divisor=32'),
])  # fmt: skip
def test_refuses_other_pipelines(transform, words):
    cfg = config_of('coco')
    cfg.test_dataloader.dataset.pipeline.append(transform)
    with pytest.raises(ValueError, match=words):
        preprocessing_of(cfg, None)


@pytest.mark.parametrize('box', [(3.2, 4.7, 30.9, 41.1), (-5.0, 10.0, 60.0, 12.5), (8.0, 8.0, 8.0, 20.0)])
def test_masks_are_pasted_as_by_mmdet(box):
    mask, boxes = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.tensor([box])
    expected, _ = _do_paste_mask(mask, boxes, 48, 56, skip_empty=False)
    expected = expected[0].numpy()
    got = paste_mask(mask[0, 0].numpy(), boxes[0].numpy(), 48, 56)
    decided = np.abs(expected - 0.5) > 1e-4
    assert (got == (expected >= 0.5))[decided].all() and decided.mean() > 0.99


def test_pictures_are_opencvs(tmp_path):
    """JPEG, grey, and turned by EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(20, 30)).save(tmp_path / 'turned.jpg', exif=exif)
    Image.fromarray(picture(20, 30)[..., 0]).save(tmp_path / 'grey.png')
    files = [tmp_path / 'turned.jpg', tmp_path / 'grey.png', *sorted(COCO_TINY.glob('val2017/*'))[:3]]
    for file in files:
        np.testing.assert_array_equal(read_image(file), cv2.imread(str(file))[..., ::-1])


def test_needs_neither_torch_nor_this_package():
    tree = ast.parse(Path(onnx_detector.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, 'module', None) or node.names[0].name for node in imports}
    assert {name.split('.')[0] for name in names} - set(sys.stdlib_module_names) == {'numpy', 'onnxruntime', 'PIL'}


def test_refuses(tmp_path, capsys):
    (tmp_path / 'x.onnx').write_text('no')
    with pytest.raises(ValueError, match=r'x\.onnx cannot be read as ONNX'):
        Detector(tmp_path / 'x.onnx')
    with pytest.raises(ValueError, match=r'x\.onnx is not a picture'):
        read_image(tmp_path / 'x.onnx')
    with pytest.raises(SystemExit, match=r'error: .*none\.onnx'):
        onnx_detector.main([str(tmp_path / 'none.onnx'), str(tmp_path)])
