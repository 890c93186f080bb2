"""Weights by name: the authors' files and timm's."""

import re
import sys

import pytest
import timm
import torch
from mmengine.config import Config

from eca_mm.checkpoints import load_backbone, read_checkpoint
from eca_mm.checkpoints.files import read_weights
from eca_mm.checkpoints.known import KNOWN, timm_weights
from eca_mm.engine.files import check_weights
from eca_mm.models import AttentionResNet, ECAMobileNetV2, ECAResNet
from tests.reference.authors import AuthorsMobileNetV2, as_the_authors_save
from tests.support import randomize


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'checkpoints').mkdir()


def with_weights(backbone, name):
    backbone.init_cfg = dict(type='Pretrained', checkpoint=name)
    return backbone


def put(name, content):
    """A known file, where it is looked for."""
    torch.save(content, file := f'checkpoints/{name}.pth.tar')
    return file


def test_says_where_to_get_it():
    sentence = 'is not there: download it by hand from .*BangguWu.* put it at checkpoints/eca_resnet50_k3557.pth.tar'
    with pytest.raises(FileNotFoundError, match=f'eca_resnet50_k3557 {sentence}'):
        with_weights(ECAResNet(18), 'eca_resnet50_k3557').init_weights()
    cfg = Config(dict(model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='eca_resnet50_k3557')))))
    with pytest.raises(FileNotFoundError, match='eca_resnet50_k3557 is not there'):
        check_weights(cfg)
    put('eca_resnet50_k3557', {})
    check_weights(cfg)
    for path in 'eca_resnet50_k3557.pth.tar', 'x/eca_resnet50_k3557.pth', 'x/eca_resnet50_k3557':
        with pytest.raises(
            FileNotFoundError, match=f'^checkpoint not found: {path}; download it by hand from https://drive'
        ):
            read_checkpoint(path)


def test_kernel_sizes_are_those_in_the_names():
    digits = {name: found[1] for name in KNOWN if (found := re.search(r'_k?(\d{4})(?:_|$)', name))}
    assert len(digits) == 10 and digits == {name: ''.join(map(str, KNOWN[name][0])) for name in digits}
    assert KNOWN['faster_rcnn_ecanet50_k5_bs8_lr0.01'][0] == (5, 5, 5, 5)


def test_loads():
    name, theirs = 'eca_mobilenetv2_k13', randomize(AuthorsMobileNetV2())
    put(name, as_the_authors_save(theirs))
    backbone = with_weights(ECAMobileNetV2(KNOWN[name][0]), name)
    backbone.init_weights()
    got, expected = ({p.abs().sum().item() for p in model.parameters()} for model in (backbone, theirs))
    assert got <= expected


@pytest.mark.parametrize(('theirs', 'sizes'), [
    (lambda: ECAResNet(18, (3, 3, 7, 7)), '(3, 3, 7, 7)'), (lambda: AttentionResNet(18), 'none'),
])  # fmt: skip
def test_checks_kernel_sizes(theirs, sizes):
    name, theirs = 'eca_resnet18_k3577', theirs()
    file = put(name, theirs.state_dict())
    sentence = f'{name} has ECA with kernel sizes (3, 5, 7, 7), and {file} with {sizes}: put the right file'
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_backbone(theirs, name)
    load_backbone(theirs, file)  # by its path it is what it is


@pytest.fixture
def hub(monkeypatch):
    """timm without its network: pretrained models are random ones."""
    create, models = timm.create_model, {}

    def pretrained_model(name, pretrained):
        assert pretrained
        models[name] = create(name)
        return models[name]

    monkeypatch.setattr('timm.create_model', pretrained_model)
    return models


def test_timm(hub):
    backbone = with_weights(ECAResNet(50, deep_stem=True, avg_down=True), 'timm://ecaresnet50d')
    backbone.init_weights()
    assert backbone.stem[2].conv.weight.equal(hub['ecaresnet50d'].conv1[6].weight)
    assert backbone.layer4[2].eca.conv.weight.equal(hub['ecaresnet50d'].layer4[2].se.conv.weight)


@pytest.mark.parametrize(
    'name', ['resnetaa50', 'seresnetaa50d.sw_in12k', 'resnetblur18', 'hf_hub:someone/ecaresnetaa50']
)
def test_anti_aliased_networks_of_timm_have_the_same_keys(name):
    with pytest.raises(ValueError, match=f'^timm://{name} is of {name}, which is anti-aliased, as no ResNet here is$'):
        read_weights(f'timm://{name}')


def test_timm_without_network_or_timm(monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError('Max retries exceeded\nwith url')

    monkeypatch.setattr('timm.create_model', fail)
    with pytest.raises(ValueError, match='^timm cannot load ecaresnet50d: Max retries exceeded with url$'):
        timm_weights('ecaresnet50d')
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ValueError, match='^timm://ecaresnet50d needs timm: pip install timm$'):
        timm_weights('ecaresnet50d')
