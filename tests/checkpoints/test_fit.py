"""In words what weights are of where they do not fit: which network, whose names, and what would take them."""

import re
from functools import cache

import pytest
import timm
import torch
import torchvision
from mmengine.registry import MODELS

from eca_mm.checkpoints import check_model, check_start
from eca_mm.checkpoints.fit import another_network
from eca_mm.checkpoints.weights import EmptyOnMeta
from eca_mm.engine import load_config
from eca_mm.engine.model import build_model
from eca_mm.models import AttentionResNet, ECAResNet
from tests.reference.authors import AuthorsResNet
from tests.reference.mmdet1 import downgrade
from tests.support import REPOSITORY

CONFIGS = REPOSITORY / 'configs'


@pytest.fixture(scope='module')
def models():
    """Name of a config -> its model's state, without values."""

    class Models(dict):
        def __missing__(self, name):
            with EmptyOnMeta():
                self[name] = build_model(load_config(CONFIGS / f'{name}.py')).to('meta').state_dict()
            return self[name]

    return Models()


def state(build):
    with torch.device('meta'):
        return build().state_dict()


def ours(build):
    with EmptyOnMeta():
        return build().state_dict()


@cache
def backbone_of(name):
    return {**load_config(CONFIGS / f'{name}.py').model.backbone, 'init_cfg': None}


DETECTOR, CLASSIFIER = 'faster_rcnn_eca_r50_fpn_1x', 'imagenet/eca_resnet50'
ECA50 = 'ResNet-50 with ECA, k = 3, 5, 5, 7'


def of_timm(name):
    return lambda models: state(lambda: timm.create_model(name))


# Config, weights, and the whole sentence about x.pth.
SENTENCES = {
    "a detector's config and timm's weights": (
        DETECTOR, of_timm('ecaresnet50d'), 'has the weights of a ResNet-50-D with ECA, k = 5, 5, 5, 7, and of no detector: a '
        'training of one starts from them with `cfg_options` backbone_weights=x.pth',
    ),
    'MMDetection 1.x': (
        DETECTOR, lambda models: downgrade({k: torch.empty(v.shape) for k, v in models[DETECTOR].items()}),
        'is a detector of MMDetection 1.x: tools/convert_checkpoint.py x.pth NEW.pth makes it one of configs/legacy',
    ),
    'another depth': (
        DETECTOR, lambda models: models['faster_rcnn_eca_r101_fpn_1x'],
        f'has the weights of a ResNet-101 with ECA, k = 3, 3, 5, 7, and the model has a {ECA50}: set backbone=dict('
        "type='eca_mm.ECAResNet', depth=101, kernel_size=(3, 3, 5, 7)), as in configs/faster_rcnn_eca_r101_fpn_1x.py or "
        'configs/mask_rcnn_eca_r101_fpn_1x.py',
    ),
    "the authors' classifier": (
        CLASSIFIER, lambda models: state(lambda: AuthorsResNet((3, 4, 6, 3), 4, (3, 5, 5, 7))),
        f'has the weights of a {ECA50}, as the authors name them: tools/convert_checkpoint.py x.pth NEW.pth gives them our names',
    ),
    "torchvision's classifier": (
        CLASSIFIER, lambda models: state(torchvision.models.resnet50), 'has the weights of a ResNet-50, as torchvision names '
        'them: tools/convert_checkpoint.py x.pth NEW.pth gives them our names; for them set '
        "backbone=dict(type='eca_mm.AttentionResNet', depth=50), as in configs/imagenet/resnet50.py",
    ),
    "a detector's weights": (
        CLASSIFIER, lambda models: models[DETECTOR], f'has the weights of a {ECA50}, and of no classifier',
    ),
    'a pruned network': (
        CLASSIFIER, of_timm('ecaresnet50d_pruned'),
        'is of no network here: blocks of 47 channels in stage 1, where a ResNet has 64: it is pruned, or wide; '
        "mmpretrain's TIMMBackbone builds such networks of timm",
    ),
    'another library': (CLASSIFIER, of_timm('eca_nfnet_l0'), 'does not fit the config: 281 missing: backbone.conv1.weight, '),
    'other classes': (
        CLASSIFIER, lambda models: {k: v[:10] if 'head' in k else v for k, v in models[CLASSIFIER].items()},
        'does not fit the config: 2 of another shape: head.fc.weight is (10, 2048) in the file and (1000, 2048) here, ',
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', SENTENCES)
def test_whole_models(name, models):
    config, weights, sentence = SENTENCES[name]
    with pytest.raises(ValueError, match=f'^x.pth {re.escape(sentence)}{"" if sentence[-1] == " " else "$"}'):
        check_model(models[config], weights(models), 'x.pth')


def test_a_start_may_lack_attention_and_have_other_heads(models):
    own = models[DETECTOR]
    plain = models['faster_rcnn_r50_fpn_1x']
    for weights in (plain, {k: v[:5] if 'fc_cls' in k else v for k, v in own.items()}, models[CLASSIFIER], own):
        check_start(own, {key: torch.tensor(0.0).expand(value.shape) for key, value in weights.items()}, 'x.pth')


@pytest.mark.parametrize(
    'name', ['another depth', "a detector's config and timm's weights", 'MMDetection 1.x', 'another library']
)
def test_a_start_from_another_network(name, models):
    """What mmengine takes with a warning, nothing or a part of it loaded."""
    _, weights, sentence = SENTENCES[name]
    sentence = sentence if name != 'another library' else 'does not fit the config: '
    with pytest.raises(ValueError, match=f'^x.pth {re.escape(sentence)}'):
        check_start(models[DETECTOR], weights(models), 'x.pth')


@pytest.mark.parametrize('name', sorted(f.stem for f in CONFIGS.glob('*_1x.py')))
def test_names_the_configs_with_the_backbone(name):
    """Every detector of the paper, and timm's, by the weights of its backbone alone."""
    weights = ours(lambda: MODELS.build(dict(backbone_of(name))))
    sentence = another_network(ours(lambda: ECAResNet(18, 9)), weights, 'x.pth')
    assert f'configs/{name}.py' in sentence
    assert all(backbone_of(other) == backbone_of(name) for other in re.findall(r'configs/(\w+)\.py', sentence))


def test_other_kernel_sizes_are_in_no_config():
    sentence = another_network(ours(lambda: ECAResNet(50)), ours(lambda: ECAResNet(50, 3)), 'x.pth')
    assert sentence.endswith("set backbone=dict(type='eca_mm.ECAResNet', depth=50, kernel_size=(3, 3, 3, 3))")
    assert another_network(ours(lambda: ECAResNet(50)), ours(lambda: ECAResNet(50)), 'x.pth') == ''
    deep = ours(lambda: AttentionResNet(50, deep_stem=True, in_channels=1))
    assert 'ResNet-50 with deep_stem=True, in_channels=1, and' in another_network(
        ours(lambda: ECAResNet(50)), deep, 'x.pth'
    )
