"""Parts of a model that do not take what is before them are said before anything is trained."""

import pytest
import torch
from torch import nn

from eca_mm.engine import load_config
from eca_mm.engine.channels import check_channels
from eca_mm.engine.model import build_model
from eca_mm.errors import UserError
from tests.support import MASK, REPOSITORY


@pytest.mark.parametrize(('config', 'options', 'message'), [
    (MASK, {'model.neck.in_channels': [64, 128, 256, 512]},
     r'model\.neck has in_channels=\[64, 128, 256, 512\], and what is before it gives \[256, 512, 1024, 2048\] channels: set'),
    (MASK, {'model.backbone.out_indices': [1, 2, 3]}, r'set model\.neck\.in_channels to \[512, 1024, 2048\]'),
    (MASK, {'model.rpn_head.in_channels': 256}, r'model\.rpn_head has in_channels=256, .* gives 128 channels'),
    (REPOSITORY / 'configs/imagenet/mobilenet_v2.py', {'model.head.in_channels': 2048},
     r'model\.head has in_channels=2048, .* gives 1280 channels: set model\.head\.in_channels to 1280'),
    (REPOSITORY / 'configs/legacy/retinanet_eca_r50_fpn.py', {'model.bbox_head.in_channels': 128},
     r'set model\.bbox_head\.in_channels to 256'),
])  # fmt: skip
def test_mistakes(config, options, message):
    with pytest.raises(UserError, match=message):
        build_model(load_config(config, cfg_options=options))


class Model(nn.Module):
    def __init__(self, backbone, neck=None):
        super().__init__()
        self.backbone, self.neck = backbone, neck


class Neck(nn.Module):
    """Takes the last level first, as mmdet's YOLOV3Neck."""

    def __init__(self, *channels):
        super().__init__()
        self.in_channels = list(channels)
        self.levels = nn.ModuleList(nn.Conv2d(c, 4, 1) for c in channels)

    def forward(self, features):
        return [level(feature) for level, feature in zip(self.levels, features[::-1], strict=True)]


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.frozen = nn.BatchNorm2d(3), nn.BatchNorm2d(3).eval()

    def forward(self, images):
        assert not self.norm.training
        return [self.norm(images), images.repeat(1, 2, 1, 1)]


class Named(nn.Module):
    """With features by name."""

    def forward(self, images):
        return dict(stem=images)


def test_what_fits_passes_and_nothing_is_changed():
    model = Model(Backbone(), Neck(6, 3))
    state, before = torch.get_rng_state(), {key: value.clone() for key, value in model.state_dict().items()}
    check_channels(model)
    assert model.backbone.norm.training and not model.backbone.frozen.training
    assert torch.get_rng_state().equal(state)
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize('model', [
    nn.Linear(2, 2),  # without a backbone
    Model(nn.Linear(3, 3)),  # that takes no images
    Model(Backbone(), nn.Conv2d(1, 1, 1)),  # that takes one level
    Model(nn.Identity(), nn.Identity()),
    Model(Named(), nn.Conv2d(1, 1, 1)),
])  # fmt: skip
def test_what_is_no_mistake_in_channels_passes(model):
    """A bug is to be shown by the training, with its traceback."""
    check_channels(model)
