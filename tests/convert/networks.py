"""What the tests of conversion build and compare."""

import re

import torch
from mmdet.registry import MODELS as MMDET
from mmpretrain.registry import MODELS as MMPRETRAIN
from torch import nn

from eca_mm.checkpoints.files import Weights
from eca_mm.checkpoints.weights import EmptyOnMeta
from eca_mm.convert.checkpoint import convert_weights
from tests.reference.authors import AuthorsMobileNetV2
from tests.support import randomize


class Classifier(nn.Module):
    """A classifier of mmpretrain that returns its logits, under its own keys; without channels, the last features."""

    def __init__(self, backbone, channels=None, classes=1000):
        super().__init__()
        head = dict(type='LinearClsHead', num_classes=classes, in_channels=channels)
        parts = dict(neck=dict(type='GlobalAveragePooling'), head=head) if channels else {}
        self.model = MMPRETRAIN.build(dict(type='ImageClassifier', _scope_='mmpretrain', backbone=backbone, **parts))
        self.state_dict, self.load_state_dict = self.model.state_dict, self.model.load_state_dict

    def forward(self, x):
        out = self.model(x, mode='tensor')
        return out if isinstance(out, torch.Tensor) else out[-1]


class Detector(nn.Module):
    """A backbone of mmdet below a detector's keys; its last features."""

    def __init__(self, **backbone):
        super().__init__()
        self.backbone = MMDET.build(dict(type='mmdet.ResNet') | backbone)
        self.neck, self.rpn_head, self.roi_head = nn.Conv2d(9, 9, 1), nn.Conv2d(9, 9, 1), nn.Conv2d(9, 9, 1)

    def forward(self, x):
        return self.backbone(x)[-1]


class Last(nn.Module):
    """A backbone alone, under its own keys; its last features, averaged over the positions if told so."""

    def __init__(self, backbone, pooled=False):
        super().__init__()
        self.model, self.pooled = backbone, pooled
        self.state_dict = backbone.state_dict

    def forward(self, x):
        out = self.model(x)
        out = out[-1] if isinstance(out, tuple) else out
        return out.mean((2, 3)) if self.pooled else out


def eca_plugins(*sizes):
    """ECA of these sizes in the stages of mmdet's ResNet."""
    stages = [tuple(i == n for i in range(4)) for n in range(4)]
    layers = [dict(type='eca_mm.ECALayer', kernel_size=k) for k in sizes]
    return [dict(cfg=cfg, stages=used, position='after_conv3') for cfg, used in zip(layers, stages, strict=True)]


def on_meta(build, *args, **kwargs):
    """The state dict of a network, without values."""
    with torch.device('meta'):
        return build(*args, **kwargs).state_dict()


def empty(build, *args, **kwargs):
    """The same of one of ours, whose constructors read some values."""
    with EmptyOnMeta():
        return build(*args, **kwargs).state_dict()


def small():
    """Weights of 700 kB that are converted: the authors' MobileNetV2, a quarter as wide."""
    return AuthorsMobileNetV2(classes=5, width=0.25).state_dict()


def convert_state(state, **kwargs):
    """Converts a state dict, without a file."""
    return convert_weights(Weights(dict(state)), **kwargs)


def ours(code, state):
    """The network of the line that was printed, with these weights: nothing missing, nothing left."""
    fc = state.get('head.fc.weight')
    model = Classifier(eval(f'dict({code})')['backbone'], *(() if fc is None else fc.T.shape))
    model.load_state_dict(state, strict=True)
    return model


def our_file(file):
    """:func:`ours` of a converted file."""
    checkpoint = torch.load(file, weights_only=True)
    return ours(checkpoint['meta']['network'], checkpoint['state_dict'])


def randomized(model):
    """Random weights with which the features keep their size from block to block."""
    randomize(model)
    for key, value in model.state_dict().items():
        if key.endswith('bn3.weight'):
            value *= 0.2  # else the features double from block to block, and their rounding errors with them
    return model


# The last blocks of the stages in torchvision's and the authors' MobileNetV2, which have no modules for stages.
ENDS = [f'features.{n}' for n in (1, 3, 6, 10, 13, 16, 17)]


STAGE = r'(^|\.)(layer\d|stages\.\d|denseblock\d|Mixed_\d[a-e])$'


def features(model, image):
    """The feature maps of all stages, and the output."""
    stages = [m for name, m in model.named_modules() if re.search(STAGE, name) or name in ENDS]
    assert len(stages) in (4, 7, 11)
    maps = []
    hooks = [stage.register_forward_hook(lambda *call: maps.append(call[-1])) for stage in stages]
    with torch.no_grad():
        maps.append(model(image))
    for hook in hooks:
        hook.remove()
    return maps


def difference(theirs, ours):
    """The greatest difference of the feature maps and the outputs, in float64 on an image of odd sizes."""
    theirs, ours = theirs.double().eval(), ours.double().eval()
    size = (
        (75, 107) if any('Mixed_7c' in key for key in theirs.state_dict()) else (35, 65)
    )  # which Inception is too deep for
    image = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    greatest = 0.0
    for expected, got in zip(features(theirs, image), features(ours, image), strict=True):
        assert expected.shape == got.shape and expected.std() > 1e-3  # a network that is dead proves nothing
        greatest = max(greatest, (got - expected).abs().max().item())
    return greatest
