"""Weights by name: the authors' files and timm's."""

import hashlib
import re
import sys

import pytest
import timm
import torch
from mmengine.config import Config

from eca_mm.checkpoints import known, load_backbone, read_checkpoint
from eca_mm.checkpoints.known import timm_weights
from eca_mm.engine.files import check_weights
from eca_mm.models import AttentionResNet, ECAMobileNetV2, ECAResNet
from tests.reference.authors import AuthorsMobileNetV2, AuthorsResNet, as_the_authors_save
from tests.support import randomize


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'checkpoints').mkdir()


def with_weights(backbone, name):
    backbone.init_cfg = dict(type='Pretrained', checkpoint=name)
    return backbone


def test_says_where_to_get_it():
    sentence = 'is not there: download it by hand from .*BangguWu.* put it at checkpoints/eca_resnet50_k3557.pth.tar'
    with pytest.raises(FileNotFoundError, match=f'eca_resnet50_k3557 {sentence}'):
        with_weights(ECAResNet(18), 'eca_resnet50_k3557').init_weights()
    cfg = Config(dict(model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='eca_resnet50_k3557')))))
    with pytest.raises(FileNotFoundError, match='eca_resnet50_k3557 is not there'):
        check_weights(cfg)
    known.KNOWN['eca_resnet50_k3557'].path.touch()
    check_weights(cfg)


@pytest.mark.parametrize('path', ['eca_resnet50_k3557.pth.tar', 'x/eca_resnet50_k3557.pth', 'x/eca_resnet50_k3557'])
def test_says_where_to_get_a_file_that_is_named_so(path):
    with pytest.raises(
        FileNotFoundError, match=f'^checkpoint not found: {path}; download it by hand from https://drive.google'
    ):
        read_checkpoint(path)


@pytest.mark.parametrize(('name', 'theirs', 'ours'), [
    ('eca_resnet18_k3577', lambda: AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7)), lambda k: ECAResNet(18, k)),
    ('eca_mobilenetv2_k13', AuthorsMobileNetV2, ECAMobileNetV2),
])  # fmt: skip
def test_loads(name, theirs, ours):
    theirs = randomize(theirs())
    torch.save(as_the_authors_save(theirs), known.KNOWN[name].path)
    backbone = with_weights(ours(known.KNOWN[name].kernel_size), name)
    backbone.init_weights()
    got, expected = ({p.abs().sum().item() for p in model.parameters()} for model in (backbone, theirs))
    assert got <= expected


@pytest.mark.parametrize(('theirs', 'sizes'), [
    (lambda: ECAResNet(18, (3, 3, 7, 7)), '(3, 3, 7, 7)'), (lambda: AttentionResNet(18), 'none'),
])  # fmt: skip
def test_checks_kernel_sizes(theirs, sizes):
    file, theirs = known.KNOWN['eca_resnet18_k3577'], theirs()
    torch.save(theirs.state_dict(), file.path)
    sentence = f'{file.name} has ECA with kernel sizes (3, 5, 7, 7), and {file.path} with {sizes}: put the right file'
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_backbone(theirs, file.name)
    load_backbone(theirs, str(file.path))  # by its path it is what it is


def test_checks_sha256_where_it_is_known(monkeypatch):
    file = known.KNOWN['eca_resnet18_k3577']
    torch.save(dict(w=torch.ones(1)), file.path)
    found = hashlib.sha256(file.path.read_bytes()).hexdigest()
    monkeypatch.setitem(known.KNOWN, file.name, file._replace(sha256=found))
    assert read_checkpoint(file.name)['w'] == 1
    monkeypatch.setitem(known.KNOWN, file.name, file._replace(sha256='0' * 64))
    with pytest.raises(ValueError, match=f'is not the file that is known as .*: sha256 {found}, not 000'):
        read_checkpoint(file.name)


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


@pytest.mark.parametrize(('name', 'part'), [
    ('resnetaa50', r'AvgPool2d \(layer2.0.aa\)'), ('resnetblur18', 'BlurPool'), ('mobilenetv2_100', 'EfficientNet'),
])  # fmt: skip
def test_networks_of_timm_that_only_look_the_same(hub, name, part):
    with pytest.raises(ValueError, match=f'timm://{name} has a {part}'):
        timm_weights(name)


def test_timm_without_network_or_timm(monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError('Max retries exceeded\nwith url')

    monkeypatch.setattr('timm.create_model', fail)
    with pytest.raises(ValueError, match='^timm cannot load ecaresnet50d: Max retries exceeded with url$'):
        timm_weights('ecaresnet50d')
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ValueError, match='^timm://ecaresnet50d needs timm: pip install timm$'):
        timm_weights('ecaresnet50d')
