"""The files that a config needs, and the weights that a model gets."""

from types import SimpleNamespace

import pytest
import torch

from eca_mm.engine import find_images, load_config
from eca_mm.engine.files import check_data, check_first_image, check_weights
from eca_mm.engine.model import model_of
from eca_mm.errors import MissingFileError, UserError
from tests.support import REPOSITORY

CONFIG = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py'


def test_coco(tmp_path):
    cfg = load_config(CONFIG, data_root=str(tmp_path))
    with pytest.raises(MissingFileError, match=r'instances_train2017\.json does not exist.*COCO_ROOT'):
        check_data(cfg, 'train_dataloader', 'val_dataloader')
    for name in ('train2017', 'val2017', 'annotations'):
        (tmp_path / name).mkdir()
    (tmp_path / 'annotations/instances_train2017.json').touch()
    with pytest.raises(MissingFileError, match=r'train2017 is empty\. Get COCO'):
        check_data(cfg, 'train_dataloader')
    (tmp_path / 'train2017/1.jpg').touch()
    check_data(cfg, 'train_dataloader')
    with pytest.raises(MissingFileError, match='instances_val2017'):
        check_data(cfg, 'train_dataloader', 'val_dataloader')


def test_imagenet(tmp_path):
    cfg = load_config(REPOSITORY / 'configs/imagenet/eca_resnet50.py', data_root=str(tmp_path))
    with pytest.raises(MissingFileError, match='train does not exist.*IMAGENET_ROOT'):
        check_data(cfg, 'train_dataloader')
    (tmp_path / 'train/n01440764').mkdir(parents=True)
    check_data(cfg, 'train_dataloader')


def test_first_image(tmp_path):
    cfg = load_config(CONFIG, data_root=str(tmp_path))
    dataset = SimpleNamespace(get_data_info=lambda i: dict(img_path=str(tmp_path / f'train2017/{i}.jpg')))
    with pytest.raises(MissingFileError, match=r'train2017/0\.jpg, the first image, does not exist\. Get COCO'):
        check_first_image(cfg.train_dataloader, dataset)
    (tmp_path / 'train2017').mkdir()
    (tmp_path / 'train2017/0.jpg').touch()
    check_first_image(cfg.train_dataloader, dataset)
    check_first_image(cfg.train_dataloader, [])  # a dataset of another kind


def test_weights(tmp_path):
    cfg = load_config(CONFIG)
    with pytest.raises(MissingFileError) as error:
        check_weights(cfg)
    sentences = str(error.value).split('. ')
    assert sentences[0] == 'backbone weights not found: checkpoints/eca_resnet50.pth'
    for sentence, beginning, end in zip(
        sentences[1:],
        (
            'Download eca_resnet50_k3557 by hand (https://drive',
            'Or take ECA-ResNet-D',
            'Or train from scratch: `cfg_options`',
        ),
        (
            'backbone_weights=FILE',
            'faster_rcnn_eca_r50d_fpn_1x.py or configs/mask_rcnn_eca_r50d_fpn_1x.py',
            'frozen_stages=-1',
        ),
        strict=True,
    ):
        assert sentence.startswith(beginning) and sentence.endswith(end)
    cfg.model.backbone.init_cfg.checkpoint = 'checkpoints/se_resnet50.pth'
    with pytest.raises(
        MissingFileError, match='not found: checkpoints/se_resnet50.pth. Train them with a config of configs/im'
    ):
        check_weights(cfg)
    cfg.model.backbone.init_cfg.checkpoint = str(tmp_path)
    with pytest.raises(MissingFileError):
        check_weights(cfg)
    (tmp_path / 'w.pth').touch()
    cfg.model.backbone.init_cfg.checkpoint = str(tmp_path / 'w.pth')
    check_weights(cfg)


def test_no_random_weights_are_frozen():
    """Frozen stages and batch statistics come from somewhere, or are not frozen."""
    options = dict(backbone_weights=None)
    thawed = {'model.backbone.norm_eval': False, 'model.backbone.frozen_stages': -1}
    # The second is the stem alone.
    for part in ({}, thawed | {'model.backbone.frozen_stages': 0}, thawed | {'model.backbone.norm_eval': True}):
        with pytest.raises(UserError, match='backbone_weights=None .*norm_eval=False .*frozen_stages=-1'):
            check_weights(load_config(CONFIG, cfg_options=options | part))
    check_weights(load_config(CONFIG, cfg_options=options | thawed))
    check_weights(load_config(CONFIG, cfg_options={'model.backbone.init_cfg.type': 'Kaiming'}))  # meant, then


def test_load_model():
    """Integers of the model's own are loaded; weights that are not given are the same each time; torch's state is kept."""
    cfg = load_config(REPOSITORY / 'configs/imagenet/eca_resnet50.py')
    cfg.model = dict(type='ImageClassifier', backbone=dict(type='SwinTransformer', arch='tiny', img_size=224))
    states = []
    for seed in (5, 6):
        before = torch.manual_seed(seed).get_state()
        states.append(model_of(cfg, None, 'none').state_dict())
        assert torch.get_rng_state().equal(before)
    state, again = states
    assert all(value.equal(again[key]) for key, value in state.items())
    assert any(not value.is_floating_point() for value in state.values())
    assert model_of(cfg, dict(state_dict=state), 'x.pth').state_dict().keys() == state.keys()


def test_images(tmp_path):
    for place in (tmp_path, tmp_path / 'x.jpg'):
        with pytest.raises(MissingFileError, match=f'no image at {place}:'):
            find_images(place)
    for name in ('b.JPG', 'a.png', 'c.txt'):
        (tmp_path / name).touch()
    assert [f.name for f in find_images(tmp_path)] == ['a.png', 'b.JPG']
