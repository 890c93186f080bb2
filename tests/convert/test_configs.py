"""The config that a conversion prints is saved, and its model takes the converted file."""

import pytest
import timm
import torch
import torchvision
from mmengine.runner import save_checkpoint

from eca_mm.convert import convert_checkpoint
from eca_mm.engine import load_config, load_model
from eca_mm.engine.model import build_model
from eca_mm.models import AttentionPreActResNet, AttentionResNet
from tests.reference.authors import AuthorsMobileNetV2, AuthorsResNet, as_the_authors_save
from tests.reference.mmdet1 import build, downgrade


@pytest.mark.parametrize(('make', 'part'), [
    (lambda: as_the_authors_save(AuthorsResNet((2, 2, 2, 2), 1, (3, 5, 7, 7), classes=7)),
     'head=dict(in_channels=512, num_classes=7, topk=(1, 5))'),
    (lambda: as_the_authors_save(AuthorsMobileNetV2(classes=3, width=0.25)), 'num_classes=3, topk=(1,)'),
    (lambda: torchvision.models.DenseNet(8, (1, 1, 2, 1), 16, num_classes=7).state_dict(), 'head=dict(in_channels='),
    (lambda: torchvision.models.inception_v3(num_classes=7, init_weights=False).state_dict(), "mmpretrain::inception_v3/"),
    (lambda: downgrade(build('mask_rcnn_eca_r50_fpn').state_dict()), 'mask_head=dict(num_classes=80)'),
    (lambda: downgrade(build('retinanet_eca_r50_fpn').state_dict()), 'bbox_head=dict(num_classes=80)'),
])  # fmt: skip
def test_whole_models(make, part, tmp_path):
    save_checkpoint(make(), str(tmp_path / 'a.pth'))
    made = convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
    (tmp_path / 'c.py').write_text(text := made.config(tmp_path / 'b.pth'))
    assert part in text and '_delete_=True' in text
    load_model(tmp_path / 'c.py', tmp_path / 'b.pth')


@pytest.mark.parametrize(('make', 'channels'), [
    (lambda: timm.create_model('ecaresnet50d'), '[256, 512, 1024, 2048]'), (lambda: AttentionResNet(18), '[64, 128, 256, 512]'),
    (lambda: AttentionPreActResNet(50), '[256, 512, 1024, 2048]'),
    (lambda: AuthorsMobileNetV2(width=0.25), '[8, 8, 24, 80]'),
])  # fmt: skip
def test_backbones(make, channels, tmp_path):
    torch.save(make().state_dict(), tmp_path / 'a.pth')
    made = convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth', to='backbone')
    (tmp_path / 'c.py').write_text(text := made.config(tmp_path / 'b.pth'))
    assert f'neck=dict(in_channels={channels})' in text
    model = build_model(load_config(tmp_path / 'c.py')).eval()
    model.backbone.init_weights()
    weights = torch.load(tmp_path / 'b.pth', weights_only=True)['state_dict']
    assert all(value.equal(weights[key]) for key, value in model.backbone.state_dict().items())
    assert len(model.extract_feat(torch.zeros(1, 3, 64, 64))) == 5
