"""Converted weights against the networks they come from, to 1e-10 in float64; and what is refused."""

import contextlib
import hashlib
import json
import os
import pickle
import re
import shutil
import sys
import threading
import warnings
from argparse import Namespace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from mmdet.registry import MODELS as MMDET
from mmengine.config import Config
from mmpretrain.registry import MODELS as MMPRETRAIN
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import eca_mm
from eca_mm.checkpoints import known, load_backbone, read_checkpoint
from eca_mm.checkpoints.config_text import backbone_config
from eca_mm.checkpoints.download import local_file
from eca_mm.checkpoints.keys import find_layout, to_ours
from eca_mm.convert.convert import convert
from eca_mm.convert.network import describe, infer
from eca_mm.engine.files import check_weights
from eca_mm.models import AttentionResNet, ECAMobileNetV2, ECAResNet
from tests.models.test_legacy import build, downgrade
from tests.support import REPOSITORY, Bomb, quietly, randomize

ODD = (97, 131)
USUAL = (224, 224)


# The authors' networks, from the paper's Sections 3.2 and 3.3 and the keys of their files.


class AuthorsECA(nn.Module):
    """Figure 3: global average pooling, a convolution along the channels, a sigmoid, and the product."""

    def __init__(self, k):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def forward(self, x):
        y = self.conv(self.avg_pool(x).squeeze(-1).transpose(1, 2))  # (N, 1, C)
        return x * y.sigmoid().transpose(1, 2).unsqueeze(-1)


class AuthorsBlock(nn.Module):
    """Convolutions of He et al. with norms, ECA, the residual sum, ReLU."""

    def __init__(self, inputs, width, outputs, stride, k):
        super().__init__()
        if outputs == width:
            convs = [(inputs, width, 3, stride), (width, width, 3, 1)]
        else:
            convs = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        self.count = len(convs)
        for i, (a, b, size, step) in enumerate(convs, 1):
            setattr(self, f'conv{i}', nn.Conv2d(a, b, size, step, size // 2, bias=False))
            setattr(self, f'bn{i}', nn.BatchNorm2d(b))
        self.eca = AuthorsECA(k)
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.downsample = shortcut if stride > 1 or inputs != outputs else None

    def forward(self, x):
        out = x
        for i in range(1, self.count + 1):
            out = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(out))
            out = out.relu() if i < self.count else out
        return (self.eca(out) + (x if self.downsample is None else self.downsample(x))).relu()


class AuthorsResNet(nn.Module):
    def __init__(self, counts, expansion, sizes, classes=1000):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool, inputs = nn.MaxPool2d(3, 2, 1), 64
        for stage, (count, k) in enumerate(zip(counts, sizes, strict=True)):
            width, blocks = 64 * 2**stage, []
            for i in range(count):
                stride = 2 if stage and not i else 1
                blocks.append(AuthorsBlock(inputs, width, width * expansion, stride, k))
                inputs = width * expansion
            setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for stage in range(1, 5):
            x = getattr(self, f'layer{stage}')(x)
        return self.fc(x.mean((2, 3)))


class AuthorsBottleneck(nn.Module):
    """MobileNetV2's: expansion, depth-wise convolution, projection, ECA; the sum where the shapes allow it."""

    def __init__(self, inputs, outputs, stride, expansion, k):
        super().__init__()
        hidden = inputs * expansion
        layers = [conv_bn_relu6(inputs, hidden, 1)] if expansion > 1 else []
        layers += [conv_bn_relu6(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs), AuthorsECA(k))
        self.sum = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.sum else self.conv(x)


def conv_bn_relu6(inputs, outputs, size, stride=1, groups=1):
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class AuthorsMobileNetV2(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        table = [
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ]
        layers, inputs = [conv_bn_relu6(3, 32, 3, 2)], 32
        for expansion, outputs, count, stride in table:
            for i in range(count):
                k = 1 if outputs < 96 else 3
                layers.append(AuthorsBottleneck(inputs, outputs, 1 if i else stride, expansion, k))
                inputs = outputs
        self.features = nn.Sequential(*layers, conv_bn_relu6(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.25), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def as_the_authors_save(model):
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return dict(
        epoch=100,
        arch='eca_resnet50',
        state_dict={f'module.{key}': value for key, value in model.state_dict().items()},
        best_prec1=torch.tensor(77.42),
        optimizer=optimizer.state_dict(),
    )


# The networks of mmpretrain and mmdet, and ours.


class Classifier(nn.Module):
    """A classifier of mmpretrain that returns its logits, under its own keys; without classes, the last features."""

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
        self.backbone = MMDET.build(dict(type='mmdet.ResNet', **backbone))
        self.neck, self.rpn_head, self.roi_head = nn.Conv2d(9, 9, 1), nn.Conv2d(9, 9, 1), nn.Conv2d(9, 9, 1)

    def forward(self, x):
        return self.backbone(x)[-1]


def eca_plugins(*sizes):
    """ECA of these sizes in the stages of mmdet's ResNet."""
    return [
        dict(
            cfg=dict(type='eca_mm.ECALayer', kernel_size=k),
            stages=tuple(i == n for i in range(4)),
            position='after_conv3',
        )
        for n, k in enumerate(sizes)
    ]


def of_timm(name, **kwargs):
    return lambda: timm.create_model(name, **kwargs)


def of_timm_state(name, **kwargs):
    return lambda: timm.create_model(name, **kwargs).state_dict()


def of_torchvision(name, **kwargs):
    return lambda: getattr(torchvision.models, name)(**kwargs)


MIXED = (None, dict(type='SELayer'), dict(type='ECANSLayer', kernel_size=3), dict(type='SEGCLayer', groups=4))

# Name: the network, its config line.
SE8, SE16 = (f"dict(type='eca_mm.SELayer', ratio={ratio}, bias=True)" for ratio in (8, 16))
NETWORKS = {
    'authors eca_resnet18': (
        lambda: AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7)), "ECAResNet', depth=18, kernel_size=(3, 5, 7, 7)",
    ),
    'authors eca_resnet34': (
        lambda: AuthorsResNet((3, 4, 6, 3), 1, (3, 3, 5, 7)), "ECAResNet', depth=34, kernel_size=(3, 3, 5, 7)",
    ),
    'authors eca_resnet50': (
        lambda: AuthorsResNet((3, 4, 6, 3), 4, (3, 5, 5, 7)), "ECAResNet', depth=50, kernel_size=(3, 5, 5, 7)",
    ),
    'authors eca_resnet101': (
        lambda: AuthorsResNet((3, 4, 23, 3), 4, (3, 3, 5, 7)), "ECAResNet', depth=101, kernel_size=(3, 3, 5, 7)",
    ),
    'authors eca_mobilenetv2': (AuthorsMobileNetV2, "ECAMobileNetV2', kernel_size=(1, 1, 1, 1, 3, 3, 3)"),
    'timm resnet50': (of_timm('resnet50'), "AttentionResNet', depth=50"),
    'timm resnet50, eca': (
        of_timm('resnet50', block_args=dict(attn_layer='eca')), "ECAResNet', depth=50, kernel_size=(5, 5, 5, 7)",
    ),
    'timm resnet18, eca': (
        of_timm('resnet18', block_args=dict(attn_layer='eca')), "ECAResNet', depth=18, kernel_size=(3, 5, 5, 5)",
    ),
    'timm ecaresnet50d': (
        of_timm('ecaresnet50d'), "ECAResNet', depth=50, deep_stem=True, avg_down=True, kernel_size=(5, 5, 5, 7)",
    ),
    'timm resnet18d': (
        of_timm('resnet18d', num_classes=7), "AttentionResNet', depth=18, deep_stem=True, avg_down=True",
    ),
    'timm resnet18, wide stem': (
        of_timm('resnet18', stem_type='deep', stem_width=64),
        "AttentionResNet', depth=18, deep_stem=True, stem_channels=128",
    ),
    'timm seresnet50': (of_timm('seresnet50'), f"AttentionResNet', depth=50, attention={SE16}"),
    'timm seresnet18': (
        of_timm('seresnet18'), f"AttentionResNet', depth=18, attention=({SE8}, {SE16}, {SE16}, {SE16})",
    ),
    'torchvision resnet18': (of_torchvision('resnet18', num_classes=10), "AttentionResNet', depth=18"),
    'torchvision resnet50': (of_torchvision('resnet50'), "AttentionResNet', depth=50"),
    'torchvision mobilenet_v2': (of_torchvision('mobilenet_v2'), "AttentionMobileNetV2'"),
    'torchvision mobilenet_v2, 1.4': (
        of_torchvision('mobilenet_v2', width_mult=1.4), "AttentionMobileNetV2', widen_factor=1.4",
    ),
    'mmpretrain ResNet-18': (lambda: Classifier(dict(type='ResNet', depth=18), 512), "AttentionResNet', depth=18"),
    'mmpretrain ResNetV1d-18': (
        lambda: Classifier(dict(type='ResNetV1d', depth=18), 512),
        "AttentionResNet', depth=18, deep_stem=True, avg_down=True",
    ),
    'mmpretrain SEResNet-50': (
        lambda: Classifier(dict(type='SEResNet', depth=50), 2048), f"AttentionResNet', depth=50, attention={SE16}",
    ),
    'mmpretrain MobileNetV2': (lambda: Classifier(dict(type='MobileNetV2'), 1280), "AttentionMobileNetV2'"),
    'mmdet ResNet-50': (lambda: Detector(depth=50), "AttentionResNet', depth=50"),
    'mmdet ResNet-50, eca': (
        lambda: Detector(depth=50, plugins=eca_plugins(3, 3, 3, 3)), "ECAResNet', depth=50, kernel_size=(3, 3, 3, 3)",
    ),
    'mmdet ResNetV1d-50': (
        lambda: Detector(depth=50, deep_stem=True, avg_down=True),
        "AttentionResNet', depth=50, deep_stem=True, avg_down=True",
    ),
    'backbone ECAMobileNetV2': (
        lambda: Last(ECAMobileNetV2(kernel_size=3)), "ECAMobileNetV2', kernel_size=(3, 3, 3, 3, 3, 3, 3)",
    ),
    'mmpretrain AttentionResNet-18': (
        lambda: Classifier(dict(type='AttentionResNet', depth=18, attention=MIXED), 512),
        "AttentionResNet', depth=18, attention=(None, dict(type='eca_mm.SELayer', ratio=16), "
        "dict(type='eca_mm.ECANSLayer', kernel_size=3), dict(type='eca_mm.SEGCLayer', groups=4))",
    ),
}  # fmt: skip


class Last(nn.Module):
    """A backbone alone, under its own keys; its last features."""

    def __init__(self, backbone):
        super().__init__()
        self.model = backbone
        self.state_dict = backbone.state_dict

    def forward(self, x):
        return self.model(x)[-1]


def ours(file):
    """The network of the line that was printed, with the weights of the converted file: nothing missing, nothing left."""
    checkpoint = torch.load(file, weights_only=True)
    config = eval(f'dict({checkpoint["meta"]["network"]})')['backbone']
    fc = checkpoint['state_dict'].get('head.fc.weight')
    model = Classifier(config, *(() if fc is None else fc.T.shape))
    model.load_state_dict(checkpoint['state_dict'], strict=True)
    return model


def save(file, model):
    state = as_the_authors_save(model) if isinstance(model, (AuthorsResNet, AuthorsMobileNetV2)) else model.state_dict()
    torch.save(state, file, _use_new_zipfile_serialization='epoch' not in state)  # theirs are from 2019
    return str(file)


def randomized(model):
    randomize(model)
    for key, value in model.state_dict().items():
        if key.endswith('bn3.weight'):
            value *= 0.2  # else the features double from block to block, and their rounding errors with them
    return model


# The last blocks of the stages in torchvision's and the authors' MobileNetV2, which have no modules for stages.
ENDS = [f'features.{n}' for n in (1, 3, 6, 10, 13, 16, 17)]


def features(model, image):
    """The feature maps of all stages, and the output."""
    stages = [m for name, m in model.named_modules() if re.search(r'(^|\.)layer\d$', name) or name in ENDS]
    assert len(stages) in (4, 7)
    maps = []
    hooks = [stage.register_forward_hook(lambda *call: maps.append(call[-1])) for stage in stages]
    with torch.no_grad():
        maps.append(model(image))
    for hook in hooks:
        hook.remove()
    return maps


def difference(theirs, ours, *sizes):
    """The greatest difference of the feature maps and the outputs, in float64 on images of these sizes."""
    theirs, ours = theirs.double().eval(), ours.double().eval()
    greatest = 0.0
    for size in sizes:
        image = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for expected, got in zip(features(theirs, image), features(ours, image), strict=True):
            assert expected.shape == got.shape and expected.std() > 1e-3  # a network that is dead proves nothing
            greatest = max(greatest, (got - expected).abs().max().item())
    return greatest


def measure_source(name, folder):
    build, line = NETWORKS[name]
    theirs = randomized(build())
    source = 'timm' if name == 'timm resnet50' else None  # its keys are torchvision's
    result = convert(save(folder / 'theirs.pth', theirs), folder / 'ours.pth', source=source)
    assert (result.source, result.line) == (name.split()[0], f"backbone=dict(type='eca_mm.{line})")
    return difference(theirs, ours(folder / 'ours.pth'), ODD, USUAL)


@pytest.mark.parametrize('name', NETWORKS)
def test_equals_the_source(name, tmp_path):
    assert measure_source(name, tmp_path) < 1e-10


# Name: target, our network, features, the line that is printed.
SE = 'eca_mm.SELayer'
BACK = {
    'timm, eca': (
        'timm', dict(type='ECAResNet', depth=18), 512,
        "timm.create_model('resnet18', num_classes=1000, block_args=dict(attn_layer='eca'))",
    ),
    'timm, eca 3557': (
        'timm', dict(type='ECAResNet', depth=50, kernel_size=(3, 5, 5, 7)), 2048,
        "timm.create_model('resnet50', num_classes=1000, block_args=dict(attn_layer=lambda c, **k: "
        'timm.layers.EcaModule(kernel_size={256: 3, 512: 5, 1024: 5, 2048: 7}[c], **k)))',
    ),
    'timm, eca d': (
        'timm', dict(type='ECAResNet', depth=50, deep_stem=True, avg_down=True), 2048,
        "timm.create_model('resnet50', stem_type='deep', stem_width=32, avg_down=True, num_classes=1000, "
        "block_args=dict(attn_layer='eca'))",
    ),
    'timm, se': (
        'timm', dict(type='AttentionResNet', depth=50, attention=dict(type=SE, bias=True)), 2048,
        "timm.create_model('resnet50', num_classes=1000, block_args=dict(attn_layer='se'))",
    ),
    'timm, se without biases': (
        'timm', dict(type='AttentionResNet', depth=18, attention=dict(type=SE)), 512,
        "timm.create_model('resnet18', num_classes=1000, block_args=dict(attn_layer=lambda c, **k: "
        'timm.layers.SEModule(c, rd_channels={64: 4, 128: 8, 256: 16, 512: 32}[c], bias=False, **k)))',
    ),
    'timm, plain': ('timm', dict(type='AttentionResNet', depth=34), 512, "timm.create_model('resnet34', num_classes=1000)"),
    'timm, plain without classifier': (
        'timm', dict(type='AttentionResNet', depth=18), None, "timm.create_model('resnet18', num_classes=0)",
    ),
    'torchvision resnet18': (
        'torchvision', dict(type='AttentionResNet', depth=18), 512, 'torchvision.models.resnet18(num_classes=1000)',
    ),
    'torchvision resnet50': (
        'torchvision', dict(type='AttentionResNet', depth=50), 2048, 'torchvision.models.resnet50(num_classes=1000)',
    ),
    'torchvision mobilenet_v2': (
        'torchvision', dict(type='AttentionMobileNetV2'), 1280,
        'torchvision.models.mobilenet_v2(width_mult=1.0, num_classes=1000)',
    ),
}  # fmt: skip


class Pooled(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x).mean((2, 3))


def measure_target(name, folder):
    target, backbone, channels, line = BACK[name]
    model = randomized(Classifier(backbone, channels))
    meta = dict(cfg="model = dict(backbone=dict(style='pytorch'))")
    torch.save(dict(state_dict=model.state_dict(), optimizer={}, meta=meta), folder / 'ours.pth')
    result = convert(str(folder / 'ours.pth'), folder / 'theirs.pth', to=target)
    assert (result.source, result.line) == ('mmpretrain', line)
    assert set(result.conversion.dropped) == {'optimizer', 'meta'}
    theirs = eval(line)
    state = torch.load(folder / 'theirs.pth', weights_only=True)
    theirs.load_state_dict(state if target == 'torchvision' else state['state_dict'], strict=True)
    return difference(model if channels else Pooled(model), theirs, ODD, USUAL)


@pytest.mark.parametrize('name', BACK)
def test_equals_the_target(name, tmp_path):
    assert measure_target(name, tmp_path) < 1e-10


def test_grey_images(tmp_path):
    torch.save(timm.create_model('resnet18', in_chans=1).state_dict(), tmp_path / 'a.pth')
    result = convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth', to='timm')
    assert describe(result.network) == "backbone=dict(type='eca_mm.AttentionResNet', depth=18, in_channels=1)"
    assert result.line == "timm.create_model('resnet18', in_chans=1, num_classes=1000)"


@pytest.mark.parametrize(('counts', 'depth'), [((3, 4, 23, 3), 101), ((3, 8, 36, 3), 152)])
def test_infers_deep_networks(counts, depth):
    with torch.device('meta'):
        state = AuthorsResNet(counts, 4, (3, 3, 5, 7)).state_dict()
    network = infer(to_ours(state, find_layout(state)).tensors, {})
    assert describe(network) == f"backbone=dict(type='eca_mm.ECAResNet', depth={depth}, kernel_size=(3, 3, 5, 7))"


class TestUntold:
    """What no tensor tells is read from the config in the checkpoint, also from that of an earlier conversion."""

    @pytest.fixture(scope='class')
    def detector(self):
        return Detector(depth=50).state_dict()

    @pytest.mark.parametrize(('meta', 'options'), [
        (dict(cfg="model = dict(backbone=dict(type='ResNet', depth=50, style='caffe'))"), "style='caffe'"),
        (dict(cfg='model = {"detector": {"backbone": dict(style="caffe", norm_cfg=norm_cfg)}}'), "style='caffe'"),
        # MMDetection 1.x: the files that a config inherits from, each below its path.
        (dict(config="/a b/base.py\nmodel = dict(backbone=dict(style='pytorch', norm_cfg=dict(type='BN')))\n"
                     "../child.py\n_base_ = './base.py'\nmodel = dict(backbone=dict(style=\"caffe\"))\n"), "style='caffe'"),
        (dict(cfg='model = dict(backbone=dict(strides=[1, 2, 1, 1], dilations=(1, 1, 2, 4)))'),
         'strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)'),
    ])  # fmt: skip
    def test_lasts_for_any_number_of_conversions(self, detector, meta, options, tmp_path):
        torch.save(dict(state_dict=detector, meta=meta), tmp_path / '0.pth')
        for n, suffix in enumerate(('pth', 'safetensors', 'pth')):
            source = tmp_path / (f'{n}.safetensors' if n == 2 else f'{n}.pth')
            result = convert(str(source), tmp_path / f'{n + 1}.{suffix}', to='backbone')
            assert result.line == f"backbone=dict(type='eca_mm.AttentionResNet', depth=50, {options})"
            with pytest.raises(ValueError, match=f'timm has no ResNet with {re.escape(options)}'):
                convert(str(source), tmp_path / 'timm.pth', to='timm')
        load_backbone(MMPRETRAIN.build(eval(f'dict({result.line})')['backbone']), str(tmp_path / '3.pth'))

    @pytest.mark.parametrize(('backbone', 'message'), [
        ('dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), contract_dilation=True', 'contract_dilation=True, and no ResNet'),
        ('dilations=(1, 1, 1, 2), multi_grid=(1, 2, 4)', 'multi_grid=(1, 2, 4), and no ResNet'),
        ("strides='none'", "strides='none', and no ResNet"),
        ("style='other'", "style='other', and no ResNet"),
        ('style=(1, 1, 1, 1)', 'style=(1, 1, 1, 1), and no ResNet'),
        ("plugins=[dict(cfg=dict(type='ECALayer'), position='after_conv2')]", "a plugin with position='after_conv2'"),
    ])  # fmt: skip
    def test_refuses_what_is_not_here(self, detector, backbone, message, tmp_path):
        meta = dict(cfg=f'model = dict(backbone=dict({backbone}))')
        torch.save(dict(state_dict=detector, meta=meta), tmp_path / 'a.pth')
        with pytest.raises(ValueError, match=re.escape(message)):
            convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')

    def test_dilated_mobilenets(self, tmp_path):
        meta = dict(cfg='model = dict(backbone=dict(dilations=(1, 1, 1, 2, 2, 4, 4)))')
        torch.save(dict(state_dict=AuthorsMobileNetV2().state_dict(), meta=meta), tmp_path / 'a.pth')
        with pytest.raises(ValueError, match=re.escape('dilations=(1, 1, 1, 2, 2, 4, 4), and no MobileNetV2 here has')):
            convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')

    SE_VAR1 = "dict(type='eca_mm.SEVar1Layer')"

    @pytest.mark.parametrize(('told', 'line'), [
        (f'attention={SE_VAR1}', f'attention={SE_VAR1}'),
        (f'attention=(None, {SE_VAR1}, None, None)', f'attention=(None, {SE_VAR1}, None, None)'),
        (f"plugins=[dict(cfg={SE_VAR1}, stages=(False, False, True, True), position='after_conv3')]",
         f'attention=(None, None, {SE_VAR1}, {SE_VAR1})'),
    ])  # fmt: skip
    def test_attention_without_weights(self, told, line, tmp_path):
        state = Classifier(dict(type='AttentionResNet', depth=18), 512).state_dict()
        meta = dict(cfg=f"model = dict(backbone=dict(depth=18, style='caffe', {told}))")  # which 18 does not notice
        torch.save(dict(state_dict=state, meta=meta), tmp_path / 'a.pth')
        result = convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth', to='backbone')
        assert result.line == f"backbone=dict(type='eca_mm.AttentionResNet', depth=18, {line})"
        with pytest.raises(
            ValueError, match='timm has ECA or SE in all stages of a ResNet, and this one has eca_mm.SEVar1'
        ):
            convert(str(tmp_path / 'b.pth'), tmp_path / 'c.pth', to='timm')

    def test_says_what_it_cannot_know(self, detector, tmp_path):
        torch.save(dict(state_dict=detector, meta=dict(cfg='model = dict(')), tmp_path / 'a.pth')
        result = convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
        assert '\nnote: the config among its metadata is not Python: whether its style, ' in str(result)

    def test_configs_do_not_run(self, tmp_path):
        text = f'import os\nmodel = dict(backbone=dict(depth=os.mkdir({str(tmp_path / "ran")!r}), style="caffe"))'
        assert backbone_config(text) == dict(style='caffe') and not any(tmp_path.iterdir())
        for text in ('(' * 10_000, 'x = \0', 'model = 1\nbackbone = 2', 'model: dict(backbone=3)', ''):
            with contextlib.suppress(ValueError):
                assert backbone_config(text) == {}


class TestAntiAliasing:
    """timm's resnetaa50 has the keys and shapes of its resnet50."""

    @pytest.mark.parametrize('arch', ['resnetaa50', 'seresnetaa50d'])
    def test_its_name_tells(self, arch, tmp_path):
        torch.save(dict(arch=arch, state_dict=timm.create_model(arch).state_dict()), tmp_path / 'a.pth')
        for load in (partial(convert, dst=tmp_path / 'b.pth'), partial(load_backbone, AttentionResNet(50))):
            with pytest.raises(ValueError, match=rf'a\.pth is of {arch}, which has a AvgPool2d \(layer2.0.aa\)'):
                load(str(tmp_path / 'a.pth'))

    def test_without_timm(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, 'timm', None)
        state = torchvision.models.resnet18().state_dict()
        torch.save(dict(arch='resnetblur18', state_dict=state), tmp_path / 'a.pth')
        with pytest.raises(ValueError, match=r'a\.pth is of resnetblur18, which is anti-aliased'):
            convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
        torch.save(dict(arch='resnet18', state_dict=state), tmp_path / 'a.pth')
        assert convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth').notes == ()

    def test_says_where_nothing_tells(self, tmp_path):
        torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'a.pth')
        report = str(convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth', to='backbone'))
        assert '\nnote: nothing tells whether it is anti-aliased, ' in report
        assert convert(str(tmp_path / 'b.pth'), tmp_path / 'c.pth').notes == ()


class TestEntries:
    """Checkpoints with more than one set of weights."""

    @pytest.fixture
    def two(self):
        return changed(), {key: value * 0.5 for key, value in changed().items()}

    @pytest.mark.parametrize(('entry', 'other', 'about'), [
        ('state_dict', 'state_dict_ema', 'the averaged ones'),
        ('model', 'model_ema', 'the averaged ones'),
        ('state_dict', 'ema_state_dict', 'with mmengine those before averaging'),
    ])  # fmt: skip
    def test_averaged(self, two, entry, other, about, tmp_path):
        averaged = {f'module.{key}': value for key, value in two[1].items()}
        content = {entry: two[0], other: averaged | dict(n_averaged=torch.tensor(3), steps=torch.tensor(3))}
        torch.save(content | dict(args=Namespace(lr=0.1)), tmp_path / 'a.pth')
        result = convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
        assert result.conversion.tensors['head.fc.weight'].equal(two[0]['fc.weight'])
        assert result.conversion.dropped == {
            other: f'other weights, {about}; --entry {other} takes them',
            'args': 'state of the training, not weights',
        }
        result = convert(str(tmp_path / 'a.pth'), tmp_path / 'c.pth', entry=other)
        assert result.conversion.tensors['head.fc.weight'].equal(two[1]['fc.weight'])
        assert result.conversion.dropped['n_averaged'] == 'how many models were averaged'

    def test_torchs_averaged_model(self, tmp_path):
        model = AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7))
        torch.save(torch.optim.swa_utils.AveragedModel(model).state_dict(), tmp_path / 'a.pth')
        assert set(convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth').conversion.dropped) == {'n_averaged'}
        ours(tmp_path / 'b.pth')

    def test_tool(self, two, tmp_path, monkeypatch, refuse):
        torch.save(dict(ema_state_dict=two[1], epoch=3), tmp_path / 'a.pth')
        assert refuse('convert_checkpoint', 'a.pth', 'b.pth') == (
            'error: a.pth holds no weights: its entries are ema_state_dict, epoch; '
            'tools/convert_checkpoint.py --entry ema_state_dict takes those that are there'
        )
        sentence = refuse('convert_checkpoint', 'a.pth', 'b.pth', '--entry', 'ema')
        assert sentence == "error: a.pth has no entry 'ema', its entries are ema_state_dict, epoch"
        assert "has a int under 'epoch'" in refuse('convert_checkpoint', 'a.pth', 'b.pth', '--entry', 'epoch')
        monkeypatch.setattr('sys.argv', ['convert_checkpoint', 'a.pth', 'b.pth', '--entry', 'ema_state_dict'])
        quietly(REPOSITORY / 'tools/convert_checkpoint.py')
        ours(tmp_path / 'b.pth')


class TestFile:
    """What is written besides the weights, and where."""

    @pytest.fixture
    def src(self, tmp_path):
        return save(tmp_path / 'eca.pth.tar', AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7), classes=5))

    def test_report(self, src, tmp_path):
        report = str(convert(src, tmp_path / 'out.pth'))
        assert report.startswith('authors -> mmpretrain: 0 matched, 130 renamed, 4 dropped\n')
        assert '  renamed    8  module.layerN.N.eca.conv.* -> backbone.layerN.N.eca.conv.*\n' in report
        assert '  dropped    1  optimizer: state of the training, not weights\n' in report
        assert report.endswith("\nbackbone=dict(type='eca_mm.ECAResNet', depth=18, kernel_size=(3, 5, 7, 7))")

    def test_metadata(self, src, tmp_path):
        convert(src, tmp_path / 'new' / 'out.pth')
        convert(src, tmp_path / 'new' / 'out.safetensors', to='backbone')
        sha256 = hashlib.sha256(Path(src).read_bytes()).hexdigest()
        meta = torch.load(tmp_path / 'new' / 'out.pth', weights_only=True)['meta']
        assert (meta['source'], meta['source_sha256'], meta['kernel_sizes']) == ('authors', sha256, [3, 5, 7, 7])
        assert meta['tool'] == f'eca_mm {eca_mm.__version__}'
        with safe_open(tmp_path / 'new' / 'out.safetensors', 'pt') as file:
            header = {key: json.loads(value) for key, value in file.metadata().items() if key != 'format'}
        assert header == meta | dict(target='backbone')
        assert sorted(f.name for f in (tmp_path / 'new').iterdir()) == ['out.pth', 'out.safetensors']

    def test_safetensors_is_a_source(self, src, tmp_path):
        convert(src, tmp_path / 'a.safetensors', to='timm')
        result = convert(str(tmp_path / 'a.safetensors'), tmp_path / 'b.pth')
        assert (result.source, set(result.conversion.dropped)) == ('timm', {'meta'})
        shutil.copy(tmp_path / 'a.safetensors', tmp_path / 'a.pth')  # whatever it is called
        assert str(convert(str(tmp_path / 'a.pth'), tmp_path / 'd.pth')) == str(result)
        expected = convert(src, tmp_path / 'c.pth').conversion.tensors
        assert all(value.equal(expected[key]) for key, value in result.conversion.tensors.items())

    def test_backbone_for_a_detector(self, src, tmp_path):
        result = convert(src, tmp_path / 'b.pth', to='backbone')
        assert result.conversion.dropped['module.fc.weight'] == 'a backbone has no classifier'
        bare = torch.load(tmp_path / 'b.pth', weights_only=True)['state_dict']
        model = MMDET.build(
            eval(f'dict({result.line})')['backbone']
            | dict(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'b.pth')))
        )
        model.init_weights()
        assert all(value.equal(bare[key]) for key, value in model.state_dict().items())

    def test_one_gpu_and_compiled_and_half(self, src, tmp_path):
        state = torch.load(src, weights_only=True)['state_dict']
        for prefix in ('', 'module._orig_mod.'):
            other = {
                prefix + key.removeprefix('module.'): v.half() if v.is_floating_point() else v
                for key, v in state.items()
            }
            torch.save(dict(model=other), tmp_path / 'a.pth')
            tensors = convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth', force=True).conversion.tensors
            assert tensors['head.fc.weight'].dtype == torch.float16

    def test_old_files_without_counts_of_batches(self, src, tmp_path):
        state = torch.load(src, weights_only=True)['state_dict']
        torch.save({k: v for k, v in state.items() if 'num_batches' not in k}, tmp_path / 'a.pth')
        convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
        ours(tmp_path / 'b.pth')

    def test_url(self, src, tmp_path, monkeypatch):
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
        assert convert(Path(src).as_uri(), tmp_path / 'b.pth').source == 'authors'

    def test_urls_with_the_same_last_name(self, src, tmp_path, monkeypatch):
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
        monkeypatch.setattr('torch.hub.download_url_to_file', lambda url, file, _: Path(file).write_text(url))
        files = {local_file(f'https://somewhere/{name}/model.pth') for name in ('a', 'b', 'a')}
        assert sorted(f.read_text() for f in files) == [f'https://somewhere/{name}/model.pth' for name in 'ab']

    def test_downloads_are_what_their_names_promise(self, src, tmp_path, monkeypatch):
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
        monkeypatch.setenv('no_proxy', '*')
        sha = hashlib.sha256(Path(src).read_bytes()).hexdigest()
        (tmp_path / 'www').mkdir()
        for name in ('a.pth', f'a-{sha[:8]}.pth', 'a-0123456789abcdef.pth', 'a-20200130.pth', 'deadbeef.pth'):
            shutil.copy(src, tmp_path / 'www' / name)
        with ThreadingHTTPServer(
            ('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / 'www')
        ) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f'http://127.0.0.1:{server.server_port}'
            try:
                for name in ('a.pth', f'a-{sha[:8]}.pth', 'a-20200130.pth', 'deadbeef.pth'):
                    assert local_file(f'{url}/{name}').read_bytes() == Path(src).read_bytes()
                other = f'{url}/a-0123456789abcdef.pth'
                with monkeypatch.context() as patch:
                    patch.setattr('eca_mm.checkpoints.download.RELIABLE', ('127.0.0.1',))
                    for wrong, reason in (
                        (other, f'expected "0123456789abcdef", got "{sha}"'),
                        (f'{url}/b.pth', '404'),
                    ):
                        with pytest.raises(ValueError, match=f'{wrong} cannot be downloaded: .*{reason}'):
                            local_file(wrong)
                with pytest.warns(
                    UserWarning, match=f'{other} is another file than its name says: its sha256 is {sha}'
                ):
                    assert local_file(other).is_file()
            finally:
                server.shutdown()
        names = {file.name for file in (tmp_path / 'home/hub/checkpoints').iterdir()}
        assert len(names) == 5 and {f'a-{sha[:8]}.pth', 'a-0123456789abcdef.pth'} <= names  # as torch.hub names them

    def test_bare_backbones_are_told_from_timm(self):
        assert find_layout(ECAResNet(18).state_dict()).source == 'backbone'
        assert find_layout(ECAResNet(18).state_dict(), 'timm').source == 'timm'

    def test_destination(self, src, tmp_path, refuse):
        before = Path(src).read_bytes()
        os.link(src, tmp_path / 'same.pth')
        for dst, message in (
            (src, 'must end in .pth or .safetensors'),
            (tmp_path / 'same.pth', 'is the source itself'),
            (tmp_path / 'a.bin', 'must end in'),
            (tmp_path / 'eca.pth.tar' / 'a.pth', 'cannot be written'),
        ):
            assert message in refuse('convert_checkpoint', src, dst, '--force')
        (tmp_path / 'checkpoints').mkdir()
        file = Path(shutil.copy(src, tmp_path / 'checkpoints/eca_resnet18_k3577.pth'))
        for name in (file.as_uri(), 'eca_resnet18_k3577'):
            assert 'is the source itself' in refuse('convert_checkpoint', name, file, '--force')
        assert file.read_bytes() == before
        (tmp_path / 'there.pth').write_text('mine')
        assert 'is there already; --force writes over it' in refuse('convert_checkpoint', src, tmp_path / 'there.pth')
        assert (tmp_path / 'there.pth').read_text() == 'mine' and Path(src).read_bytes() == before
        (tmp_path / 'folder.pth').mkdir()
        assert 'is a folder' in refuse('convert_checkpoint', src, tmp_path / 'folder.pth')
        convert(src, tmp_path / 'there.pth', force=True)
        ours(tmp_path / 'there.pth')

    def test_tool(self, src, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr('sys.argv', ['convert_checkpoint', src, str(tmp_path / 'deep/out.pth')])
        quietly(REPOSITORY / 'tools/convert_checkpoint.py')
        assert f'kernel_size=(3, 5, 7, 7))\nwritten: {tmp_path}/deep/out.pth\n' in capsys.readouterr().out
        ours(tmp_path / 'deep/out.pth')


def changed(**changes):
    """ECA-ResNet-18 of the authors, with some of its weights changed: a function of the old one, or None to drop it."""
    state = AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7), classes=5).state_dict()
    for key, change in changes.items():
        key = key.replace('__', '.')
        state[key] = change(state.get(key))
        if state[key] is None:
            del state[key]
    return state


def with_nan(value):
    value[0] = float('nan')
    return value


def quantised(value):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch is about to drop them
        return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


def renumbered(old, new, state):
    return {key.replace(old, new): value for key, value in state.items()}


VGG = {f'{part}.{i}.weight': torch.ones(2) for part in ('features', 'classifier') for i in range(9)}

# What is saved, the arguments, and what the one sentence says.
WRONG = {
    'vgg': (lambda: VGG, [], 'are not the weights of a ResNet or MobileNetV2'),
    'resnext': (
        lambda: torchvision.models.resnext50_32x4d(num_classes=2).state_dict(), [],
        'backbone.layer1.0.conv1.weight is (128, 64, 1, 1) in the file and (64, 64, 1, 1) here',
    ),
    'tiered stem': (
        of_timm_state('resnet18', stem_type='deep_tiered', stem_width=32), [],
        "the stem has 24, 32, 64 channels, as timm's",
    ),
    'light': (
        of_timm_state('resnet10t', stem_type=''), [],
        'stages of 1, 1, 1, 1 blocks with 2 convolutions each are no ResNet-18, 34, 50',
    ),
    'mixed prefix': (
        lambda: changed() | {f'module.{k}': v for k, v in changed().items()}, [],
        'both become backbone.conv1.weight: these are keys of two networks',
    ),
    'mixed with vgg': (lambda: changed() | VGG, [], '18 without a place: backbone.features.0.weight'),
    'mixed with se': (
        lambda: changed(layer1__0__se__fc1__weight=lambda _: torch.ones(4, 64)), [],
        '1 without a place: backbone.layer1.0.se.fc1.weight',
    ),
    'mixed depths': (
        lambda: of_torchvision('resnet50')().state_dict() | of_torchvision('resnet18')().state_dict(), [],
        'layer1.0.conv1.weight is (64, 64, 3, 3) in the file and (64, 64, 1, 1) here',
    ),
    'nan': (
        lambda: changed(layer2__0__bn1__running_var=with_nan, fc__bias=with_nan), [],
        'NaN or infinity in 2 weights: layer2.0.bn1.running_var, fc.bias',
    ),
    'infinity': (lambda: changed(conv1__weight=lambda w: w / 0), [], 'NaN or infinity in 1 weights: conv1.weight'),
    'depth': (
        lambda: renumbered('layer4.0', 'layer4.2', changed()), [],
        'block layer4.0 is missing, although there is a layer4.2',
    ),
    'blocks': (
        lambda: {k: v for k, v in changed().items() if 'layer3.1' not in k}, [],
        'stages of 2, 2, 1, 2 blocks with 2 convolutions',
    ),
    'missing': (lambda: changed(layer1__0__bn2__bias=lambda _: None), [], '1 missing: backbone.layer1.0.bn2.bias'),
    'missing attention': (
        lambda: changed(layer1__1__eca__conv__weight=lambda _: None), [],
        "the blocks of layer1 differ in their attention, dict(type='eca_mm.ECALayer', kernel_size=3) and None",
    ),
    'missing bias of the classifier': (lambda: changed(fc__bias=lambda _: None), [], '1 missing: head.fc.bias'),
    'extra': (
        lambda: changed(layer1__0__conv9__weight=lambda _: torch.ones(1)), [],
        '1 without a place: backbone.layer1.0.conv9.weight',
    ),
    'shape': (
        lambda: changed(layer1__0__conv1__weight=lambda w: w[1:]), [],
        'backbone.layer1.0.conv1.weight is (63, 64, 3, 3) in the file and (64, 64, 3, 3) here',
    ),
    'classifier': (
        lambda: changed(fc__weight=lambda w: w[:, 1:]), [], 'head.fc.weight is (5, 511) in the file and (5, 512) here',
    ),
    'two kernel sizes': (
        lambda: changed(layer4__1__eca__conv__weight=lambda _: torch.ones(1, 1, 3)), [],
        'the blocks of layer4 differ in their attention',
    ),
    'even kernel size': (
        lambda: changed(**{f'layer4__{i}__eca__conv__weight': lambda _: torch.ones(1, 1, 4) for i in (0, 1)}), [],
        'kernel_size must be a positive odd integer',
    ),
    'no weights': (lambda: dict(epoch=3, state_dict={}), [], 'holds no weights'),
    'other nesting': (
        lambda: dict(generator=changed()), [], 'holds no weights: its entries are generator; tools/convert_checkpoint.py '
        '--entry generator takes those',
    ),
    'a list': (lambda: dict(state_dict=[1]), [], "has a list under 'state_dict', not a dictionary of weights"),
    'names that are numbers': (lambda: dict(state_dict={1: torch.ones(2)}), [], 'has a weight under 1, which is no name'),
    'numbers as weights': (lambda: dict(state_dict={1: 2}), [], 'holds no weights'),
    'a number as a weight': (lambda: changed(fc__bias=lambda _: 5), [], '1 missing: head.fc.bias'),
    'no classes': (
        lambda: changed(fc__weight=lambda w: w[:0], fc__bias=lambda b: b[:0]), [], 'the classifier has no classes',
    ),
    **{
        f'{dtype}': (
            lambda dtype=dtype: changed(layer1__0__bn1__weight=lambda w: w.to(dtype)), [],
            f'has layer1.0.bn1.weight in {dtype}: weights must be dense tensors of float16, ',
        )
        for dtype in (torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn)
    },
    'quantised': (
        lambda: changed(fc__weight=quantised), [],
        'has fc.weight in torch.qint8: weights must be dense',
    ),
    'sparse': (
        lambda: changed(fc__weight=lambda w: w.to_sparse()), [], 'has fc.weight in torch.float32, torch.sparse_coo: weights',
    ),
    'meta': (lambda: changed(fc__weight=lambda w: w.to('meta')), [], 'has fc.weight in torch.float32, without data: weights'),
    'a count in complex numbers': (
        lambda: changed(bn1__num_batches_tracked=lambda n: n.to(torch.complex64)), [], 'num_batches_tracked in torch.complex64',
    ),
    'source': (
        changed, ['--source', 'mmpretrain'], 'are not the weights of a ResNet or MobileNetV2 as mmpretrain names them',
    ),
    'eca to torchvision': (changed, ['--to', 'torchvision'], 'torchvision has no ResNet with ECALayer, only plain ones'),
    'deep stem to torchvision': (
        of_timm_state('resnet18d'), ['--to', 'torchvision'],
        'torchvision has no ResNet with deep_stem=True, avg_down=True',
    ),
    'backbone to torchvision': (
        lambda: AttentionResNet(18).state_dict(), ['--to', 'torchvision'], 'torchvision has no network without one',
    ),
    'mobilenet to timm': (
        lambda: AuthorsMobileNetV2().state_dict(), ['--to', 'timm'],
        'only ResNets are converted to timm, and this is a MobileNetV2',
    ),
    'eca-ns to timm': (
        lambda: AttentionResNet(18, dict(type='ECANSLayer')).state_dict(), ['--to', 'timm'],
        'timm has ECA or SE in all stages of a ResNet, and this one has eca_mm.ECANSLayer',
    ),
}  # fmt: skip

# What is in the file, byte by byte.
BROKEN = {
    'truncated': (lambda data: data[: len(data) // 2], 'is truncated or not a {} '),
    'empty': (lambda data: b'', 'is truncated or not a {} '),
    'html': (lambda data: b'\n<!DOCTYPE html><title>Sign in</title>', 'is not a PyTorch checkpoint but a web page'),
}


class TestRefuses:
    """Each with one sentence, without a file left behind, and with the source as it was."""

    @pytest.fixture
    def check(self, refuse, tmp_path):
        def run(src, message, *args):
            before = src.read_bytes()
            sentence = refuse('convert_checkpoint', src, tmp_path / 'out' / 'out.pth', *args)
            assert src.name in sentence and message in sentence
            assert src.read_bytes() == before and [f for f in tmp_path.iterdir() if f != src] == []
            print(sentence)

        return run

    @pytest.mark.parametrize('name', WRONG)
    def test_wrong(self, name, check, tmp_path):
        build, args, message = WRONG[name]
        torch.save(build(), tmp_path / 'a.pth')
        check(tmp_path / 'a.pth', message, *args)

    @pytest.mark.parametrize('name', BROKEN)
    def test_broken(self, name, check, tmp_path):
        torch.save(changed(), tmp_path / 'a.pth')
        break_, message = BROKEN[name]
        (tmp_path / 'a.pth').write_bytes(break_((tmp_path / 'a.pth').read_bytes()))
        check(tmp_path / 'a.pth', message.format('PyTorch'))

    @pytest.mark.parametrize('name', BROKEN)
    def test_broken_safetensors(self, name, check, tmp_path):
        save_file(changed(), tmp_path / 'a.safetensors')
        break_, message = BROKEN[name]
        (tmp_path / 'a.safetensors').write_bytes(break_((tmp_path / 'a.safetensors').read_bytes()))
        check(tmp_path / 'a.safetensors', message.format('safetensors'))

    def test_a_pickle_bomb_does_not_run(self, check, tmp_path):
        torch.save(dict(state_dict=changed(), extra=Bomb(tmp_path / 'ran')), tmp_path / 'a.pth.tar')
        check(tmp_path / 'a.pth.tar', 'is refused: it needs `posix.mkdir` to load')
        (tmp_path / 'a.pth.tar').write_bytes(pickle.dumps(Bomb(tmp_path / 'ran'), protocol=2))
        check(tmp_path / 'a.pth.tar', 'refused')
        assert not (tmp_path / 'ran').exists()

    @pytest.mark.parametrize('broken', [b'<html>Quota exceeded', b'half of it'])
    def test_a_broken_download_is_tried_again(self, broken, tmp_path, monkeypatch):
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
        torch.save(changed(), tmp_path / 'a.pth')
        content = [broken, broken, (tmp_path / 'a.pth').read_bytes()]
        monkeypatch.setattr('torch.hub.download_url_to_file', lambda url, f, _: Path(f).write_bytes(content.pop(0)))
        url = 'https://somewhere/a.pth'
        for read in (partial(convert, dst=tmp_path / 'b.pth'), read_checkpoint):
            with pytest.raises(
                ValueError, match=f'{url} gave no checkpoint, and the download was removed: .*-a.pth is'
            ):
                read(url)
        convert(url, tmp_path / 'b.pth')
        convert(url, tmp_path / 'c.pth')  # it is there now
        (tmp_path / 'a.pth').write_bytes(broken)
        with pytest.raises(ValueError, match=r'a\.pth is'):
            convert((tmp_path / 'a.pth').as_uri(), tmp_path / 'd.pth')
        assert (tmp_path / 'a.pth').read_bytes() == broken  # no download

    def test_what_is_not_there(self, refuse, tmp_path):
        assert 'checkpoint not found' in refuse('convert_checkpoint', 'nowhere.pth', 'out.pth')
        assert 'checkpoint not found' in refuse('convert_checkpoint', 'nowhere.safetensors', 'out.pth')
        assert 'cannot be downloaded' in refuse(
            'convert_checkpoint', 'file:///nowhere/a.pth', 'out.pth', TORCH_HOME=str(tmp_path / 'h')
        )
        assert 'only files, URLs' in refuse('convert_checkpoint', 's3://a/b.pth', 'out.pth')

    def test_a_file_that_cannot_be_written_leaves_nothing(self, tmp_path, monkeypatch):
        torch.save(changed(), tmp_path / 'a.pth')
        monkeypatch.setattr('os.replace', lambda *_: (_ for _ in ()).throw(OSError('disk full')))
        with pytest.raises(ValueError, match='cannot be written: disk full'):
            convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
        assert [f.name for f in tmp_path.iterdir()] == ['a.pth']


class TestDetector:
    def test_of_mmdetection_1_becomes_one_of_mmdet_3(self, tmp_path):
        model = build('retinanet_eca_r50_fpn')
        old = {
            key.replace('.conv.', '.') if '_convs' in key and 'head' in key else key: v
            for key, v in model.state_dict().items()
        }
        torch.save(dict(state_dict=old, meta=dict(mmdet_version='0.5.0')), tmp_path / 'a.pth')
        result = convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
        assert (result.source, result.target, len(result.conversion.renamed)) == ('mmdet1', 'mmdet', 16)
        assert result.line == "backbone=dict(type='eca_mm.ECAResNet', depth=50, kernel_size=(3, 3, 7, 7))"
        model.load_state_dict(torch.load(tmp_path / 'b.pth', weights_only=True)['state_dict'], strict=True)
        result = convert(str(tmp_path / 'a.pth'), tmp_path / 'c.pth', to='backbone')
        assert (result.source, result.conversion.dropped['bbox_head.retina_cls.bias']) == (
            'mmdet1',
            'belongs to the detector, not to its backbone',
        )
        ECAResNet(50, (3, 3, 7, 7)).load_state_dict(result.conversion.tensors, strict=True)

    def test_the_report_tells_what_became_of_rows(self, tmp_path):
        new = build('mask_rcnn_eca_r50_fpn').state_dict()
        state = {f'module._orig_mod.{key}': tensor for key, tensor in downgrade(new, None).items()}
        torch.save(dict(state_dict=state), tmp_path / 'a.pth')
        result = convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
        assert result.source == 'mmdet1' and result.conversion.tensors.keys() == new.keys()
        for layer, rows in (
            ('bbox_head.fc_cls', '81 rows: background first -> last'),
            ('bbox_head.fc_reg', '324 -> 320 rows: background first -> none'),
            ('mask_head.conv_logits', '81 -> 80 rows: background first -> none'),
        ):
            assert f'  renamed    2  module._orig_mod.{layer}.* -> roi_head.{layer}.*  ({rows})\n' in str(result)
        assert str(result).count('rows') == 3

    def test_refuses_half_of_one(self, tmp_path):
        old = {key: v for key, v in build('retinanet_eca_r50_fpn').state_dict().items() if 'retina_reg' not in key}
        torch.save(old, tmp_path / 'a.pth')
        with pytest.raises(
            ValueError, match='cannot be converted: bbox_head.retina_reg.bias is missing; bbox_head.retina_reg.weight'
        ):
            convert(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
        assert not (tmp_path / 'b.pth').exists()


class TestNames:
    @pytest.fixture(autouse=True)
    def folder(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        (tmp_path / 'checkpoints').mkdir()

    def test_says_where_to_get_it(self):
        backbone = ECAResNet(50, (3, 5, 5, 7), init_cfg=dict(type='Pretrained', checkpoint='eca_resnet50_k3557'))
        with pytest.raises(
            FileNotFoundError,
            match='download it by hand from .*BangguWu.* put it at checkpoints/eca_resnet50_k3557.pth.tar',
        ):
            backbone.init_weights()

    def test_tools(self, refuse):
        sentence = refuse('convert_checkpoint', 'eca_mobilenetv2_k13', 'out.pth')
        assert sentence.startswith('error: eca_mobilenetv2_k13 is not there: download it')
        cfg = Config(dict(model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='eca_resnet18_k3577')))))
        with pytest.raises(FileNotFoundError, match='eca_resnet18_k3577 is not there'):
            check_weights(cfg)
        save(Path('checkpoints/eca_resnet18_k3577.pth.tar'), AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7)))
        check_weights(cfg)

    @pytest.mark.parametrize(('name', 'theirs', 'ours'), [
        ('eca_resnet18_k3577', lambda: AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7)), lambda k: ECAResNet(18, k)),
        ('eca_mobilenetv2_k13', AuthorsMobileNetV2, ECAMobileNetV2),
        ('mask_rcnn_ecanet50_k3377_bs8_lr0.01', lambda: Detector(depth=50, plugins=eca_plugins(3, 3, 7, 7)),
         lambda k: ECAResNet(50, k)),
    ])  # fmt: skip
    def test_loads(self, name, theirs, ours):
        theirs = randomize(theirs())
        save(known.KNOWN[name].path, theirs)
        backbone = ours(known.KNOWN[name].kernel_size)
        backbone.init_cfg = dict(type='Pretrained', checkpoint=name)
        backbone.init_weights()
        got, expected = ({p.abs().sum().item() for p in model.parameters()} for model in (backbone, theirs))
        assert got <= expected

    @pytest.mark.parametrize(('theirs', 'sizes'), [
        (lambda: ECAResNet(18, (3, 3, 7, 7)), '(3, 3, 7, 7)'), (lambda: AttentionResNet(18), 'none'),
    ])  # fmt: skip
    def test_checks_kernel_sizes(self, theirs, sizes):
        file, theirs = known.KNOWN['eca_resnet18_k3577'], theirs()
        torch.save(theirs.state_dict(), file.path)
        sentence = (
            f'{file.name} has ECA with kernel sizes (3, 5, 7, 7), and {file.path} with {sizes}: put the right file'
        )
        for load in (partial(convert, dst='out.pth'), partial(load_backbone, theirs)):
            with pytest.raises(ValueError, match=re.escape(sentence)):
                load(file.name)
        convert(str(file.path), 'out.pth')  # by its path it is what it is

    @pytest.mark.parametrize('path', ['eca_resnet50_k3557.pth.tar', 'x/eca_resnet50_k3557.pth', 'x/eca_resnet50_k3557'])
    def test_says_where_to_get_a_file_that_is_named_so(self, path, refuse):
        sentence = refuse('convert_checkpoint', path, 'out.pth')
        assert sentence.startswith(
            f'error: checkpoint not found: {path}; download it by hand from https://drive.google'
        )

    def test_checks_sha256_where_it_is_known(self, monkeypatch):
        file = known.KNOWN['eca_resnet18_k3577']
        save(file.path, AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7)))
        found = hashlib.sha256(file.path.read_bytes()).hexdigest()
        monkeypatch.setitem(known.KNOWN, file.name, file._replace(sha256=found))
        load_backbone(ECAResNet(18, file.kernel_size), file.name)
        monkeypatch.setitem(known.KNOWN, file.name, file._replace(sha256='0' * 64))
        with pytest.raises(ValueError, match=f'is not the file that is known as .*: sha256 {found}, not 000'):
            load_backbone(ECAResNet(18, file.kernel_size), file.name)

    @pytest.fixture
    def hub(self, monkeypatch):
        """timm without its network: pretrained models are random ones."""
        create = timm.create_model
        models = {}

        def pretrained_model(name, pretrained):
            assert pretrained
            models[name] = randomized(create(name))
            return models[name]

        monkeypatch.setattr('timm.create_model', pretrained_model)
        return models

    def test_timm(self, hub):
        backbone = ECAResNet(
            50, deep_stem=True, avg_down=True, init_cfg=dict(type='Pretrained', checkpoint='timm://ecaresnet50d')
        )
        backbone.init_weights()
        assert backbone.stem[2].conv.weight.equal(hub['ecaresnet50d'].conv1[6].weight)
        result = convert('timm://ecaresnet50d', 'out.pth')
        assert result.source == 'timm' and difference(hub['ecaresnet50d'], ours('out.pth'), ODD) < 1e-10

    @pytest.mark.parametrize(
        ('name', 'part'),
        [
            ('resnetaa50', r'AvgPool2d \(layer2.0.aa\)'),
            ('resnetblur18', 'BlurPool'),
            ('mobilenetv2_100', 'EfficientNet'),
        ],
    )
    def test_networks_of_timm_that_only_look_the_same(self, hub, name, part):
        with pytest.raises(ValueError, match=f'timm://{name} has a {part}'):
            convert(f'timm://{name}', 'out.pth')

    def test_timm_without_network_or_timm(self, monkeypatch, refuse):
        def fail(*args, **kwargs):
            raise ConnectionError('Max retries exceeded\nwith url')

        monkeypatch.setattr('timm.create_model', fail)
        sentence = 'error: timm cannot load ecaresnet50d: Max retries exceeded with url'
        assert refuse('convert_checkpoint', 'timm://ecaresnet50d', 'out.pth') == sentence
        monkeypatch.setitem(sys.modules, 'timm', None)
        sentence = 'error: timm://ecaresnet50d needs timm: pip install timm'
        assert refuse('convert_checkpoint', 'timm://ecaresnet50d', 'out.pth') == sentence
        assert not Path('out.pth').exists()
