"""What no tensor tells: it is read from the config in the checkpoint, also from that of an earlier conversion."""

import contextlib
import re

import pytest
import torch
import torchvision
from mmengine.registry import MODELS
from mmpretrain.registry import MODELS as MMPRETRAIN
from torch import nn

from eca_mm.checkpoints import check_checkpoint, load_backbone
from eca_mm.checkpoints.config_text import parse_backbone
from eca_mm.checkpoints.files import Weights
from eca_mm.checkpoints.weights import EmptyOnMeta
from eca_mm.convert import convert_checkpoint
from eca_mm.convert.checkpoint import convert_weights
from eca_mm.models import AttentionResNet
from tests.convert.networks import Detector, convert_state, empty, on_meta
from tests.reference.authors import AuthorsMobileNetV2, AuthorsResNet

SE_VAR1 = "dict(type='eca_mm.SEVar1Layer')"


@pytest.fixture(scope='module')
def plain():
    """Depth -> the weights of a plain ResNet, without values."""
    return {18: on_meta(torchvision.models.resnet18), 50: on_meta(torchvision.models.resnet50)}


def convert_with(state, backbone, **kwargs):
    """Converts weights whose config has these arguments of the backbone."""
    config = parse_backbone(f'model = dict(backbone=dict({backbone}))')
    return convert_weights(Weights(state, config=config), **kwargs)


def test_lasts_for_any_number_of_conversions(tmp_path):
    meta = dict(
        cfg="model = dict(backbone=dict(type='ResNet', strides=[1, 2, 1, 1], dilations=(1, 1, 2, 4), norm_cfg=cfg))"
    )
    torch.save(dict(state_dict=Detector(depth=18).state_dict(), meta=meta), tmp_path / '0.pth')
    options = 'strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)'
    for source, target in (('0.pth', '1.pth'), ('1.pth', '2.safetensors'), ('2.safetensors', '3.pth')):
        result = convert_checkpoint(str(tmp_path / source), tmp_path / target, to='backbone')
        assert result.code == f"backbone=dict(type='eca_mm.AttentionResNet', depth=18, {options})"
    load_backbone(MMPRETRAIN.build(eval(f'dict({result.code})')['backbone']), str(tmp_path / '3.pth'))


def test_style(plain):
    code = convert_with(plain[50], "style='caffe'").code
    assert code == "backbone=dict(type='eca_mm.AttentionResNet', depth=50, style='caffe')"
    assert parse_backbone(code)['style'] == 'caffe'
    with pytest.raises(ValueError, match="timm has no ResNet with style='caffe'"):
        convert_with(plain[50], "style='caffe'", to='timm')


@pytest.mark.parametrize('text', [
    "model = dict(backbone=dict(type='ResNet', depth=50, style='caffe'))",
    'model = {"detector": {"backbone": dict(style="caffe", norm_cfg=norm_cfg)}}',
    # MMDetection 1.x: the files that a config inherits from, each below its path.
    "/a b/base.py\nmodel = dict(backbone=dict(style='pytorch', norm_cfg=dict(type='BN')))\n"
    '../child.py\n_base_ = "./base.py"\nmodel = dict(backbone=dict(style="caffe"))\n',
])  # fmt: skip
def test_finds_the_backbone_in_a_config(text):
    assert parse_backbone(text)['style'] == 'caffe'


def test_configs_do_not_run(tmp_path):
    text = f'import os\nmodel = dict(backbone=dict(depth=os.mkdir({str(tmp_path / "ran")!r}), style="caffe"))'
    assert parse_backbone(text) == dict(style='caffe') and not any(tmp_path.iterdir())
    for text in ('(' * 10_000, 'x = \0', 'model = 1\nbackbone = 2', 'model: dict(backbone=3)', ''):
        with contextlib.suppress(ValueError):
            assert parse_backbone(text) == {}


@pytest.mark.parametrize(('backbone', 'message'), [
    ('dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), contract_dilation=True', 'contract_dilation=True, and no ResNet'),
    ('dilations=(1, 1, 1, 2), multi_grid=(1, 2, 4)', 'multi_grid=(1, 2, 4), and no ResNet'),
    ("strides='none'", "strides='none', and no ResNet"),
    ("style='other'", "style='other', and no ResNet"),
    ("plugins=[dict(cfg=dict(type='ECALayer'), position='after_conv2')]", "a plugin with position='after_conv2'"),
])  # fmt: skip
def test_refuses_what_is_not_here(plain, backbone, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        convert_with(plain[50], backbone)


def test_mmseg_s_dilations_that_change_nothing(plain):
    code = convert_with(plain[50], 'dilations=(1, 1, 1, 1), contract_dilation=True, multi_grid=None').code
    assert code == "backbone=dict(type='eca_mm.AttentionResNet', depth=50)"


def test_dilated_mobilenets():
    with pytest.raises(ValueError, match=re.escape('dilations=(1, 1, 1, 2, 2, 4, 4), and no MobileNetV2 here has')):
        convert_with(on_meta(AuthorsMobileNetV2), 'dilations=(1, 1, 1, 2, 2, 4, 4)')


@pytest.mark.parametrize(('told', 'line'), [
    (f'attention={SE_VAR1}', f'attention={SE_VAR1}'),
    (f'attention=(None, {SE_VAR1}, None, None)', f'attention=(None, {SE_VAR1}, None, None)'),
    (f"plugins=[dict(cfg={SE_VAR1}, stages=(False, False, True, True), position='after_conv3')]",
     f'attention=(None, None, {SE_VAR1}, {SE_VAR1})'),
])  # fmt: skip
def test_attention_without_weights(plain, told, line):
    told = f"depth=18, style='caffe', {told}"  # a style that depth 18 does not notice
    assert convert_with(plain[18], told).code == f"backbone=dict(type='eca_mm.AttentionResNet', depth=18, {line})"
    with pytest.raises(
        ValueError, match='timm has ECA or SE in all stages of a ResNet, and this one has eca_mm.SEVar1'
    ):
        convert_with(plain[18], told, to='timm')


def test_attention_that_no_tensor_tells():
    """Any layer of a config, with weights or without: what the config says is compared with all names and shapes."""
    layers = (dict(type='CBAMLayer', ratio=8), dict(type='SimAMLayer', e_lambda=1e-3), None, dict(type='GCLayer'))
    state = empty(AttentionResNet, 18, layers)
    result = convert_with(state, f'depth=18, attention={layers}', to='backbone')
    scoped = tuple(layer and {**layer, 'type': f'eca_mm.{layer["type"]}'} for layer in layers)
    assert result.network.config == dict(type='eca_mm.AttentionResNet', depth=18, attention=scoped)
    with pytest.raises(ValueError, match=r'32 without a place: backbone\.layer1\.0\.cbam'):
        convert_state(state)
    with pytest.raises(ValueError, match=r'of another shape: backbone\.layer1\.0\.cbam\.fc1\.weight is \(8, 64'):
        convert_with(state, f'attention={layers}'.replace('8', '16'))
    with pytest.raises(ValueError, match="attention: no layer 'eca_mm.CBANLayer' is registered; did you mean "):
        convert_with(state, f'attention={layers}'.replace('CBAM', 'CBAN'))


def test_attention_with_weights_is_what_they_say():
    state = on_meta(AuthorsResNet, (2, 2, 2, 2), 1, (3, 5, 7, 7))
    assert convert_with(state, f'attention={SE_VAR1}').code == convert_state(state).code


ASSUMED = (
    "the file has no config, so style='pytorch', the usual strides and no dilations are assumed; "
    '`style="caffe"` says otherwise'
)
ALIASED = 'if it is of timm: the anti-aliased networks there (resnetaa50, resnetblur50) have these keys and shapes too'


def test_what_is_assumed_is_said(plain, tmp_path):
    """Where the source leaves it open: in OpenMMLab's layouts the style, in those of timm and torchvision anti-aliasing."""
    backbone = {key: value for key, value in plain[50].items() if not key.startswith('fc.')}
    assert convert_state(backbone).notes == [ASSUMED]
    assert convert_state(on_meta(torchvision.models.resnet50)).notes == [ALIASED]
    assert convert_state(plain[50], source='torchvision').notes == []
    assert convert_with(backbone, "style='caffe'").notes == []
    assert convert_state(on_meta(AuthorsResNet, (2, 2, 2, 2), 1, (3, 5, 7, 7))).notes == []
    small = {
        key: value for key, value in torchvision.models.resnet18().state_dict().items() if not key.startswith('fc.')
    }
    torch.save(small, tmp_path / 'a.pth')
    assert "style='pytorch'" not in str(convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth'))


def test_the_style_may_be_told(tmp_path):
    state = AttentionResNet(50).state_dict()
    torch.save(state, tmp_path / 'a.pth')
    result = convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth', style='caffe')
    assert result.notes == [] and "depth=50, style='caffe')" in result.code
    for target, style, message in (
        ('c.pth', 'pytorch', r"`style='pytorch'`: the config in .*b\.pth says style='caffe'"),
        ('c.pth', 'tf', "`style` must be one of pytorch, caffe, got 'tf'"),
    ):
        with pytest.raises(ValueError, match=message):
            convert_checkpoint(str(tmp_path / 'b.pth'), tmp_path / target, style=style)


def test_a_whole_model_has_the_style_of_its_file():
    """A 1.x detector that states caffe is not tested as one of the other style."""

    def model(style):
        return nn.ModuleDict(dict(backbone=AttentionResNet(50, style=style)))

    checkpoint = dict(
        state_dict=model('caffe').state_dict(), meta=dict(network="backbone=dict(depth=50, style='caffe')")
    )
    check_checkpoint(model('caffe'), checkpoint, 'x.pth')
    with pytest.raises(
        ValueError, match=r"^x.pth: its config says style='caffe', and the backbone has style='pytorch'$"
    ):
        check_checkpoint(model('pytorch'), checkpoint, 'x.pth')
    checkpoint['meta'] = dict(cfg="model = dict(backbone=dict(style='caffe', dilations=(1, 1, 1, 2)))")
    with pytest.raises(ValueError, match=r'dilations=\(1, 1, 1, 2\), and the backbone has dilations=\(1, 1, 1, 1\)'):
        check_checkpoint(model('caffe'), checkpoint, 'x.pth')


MMDET_RESNET = "dict(type='mmdet.ResNet', depth=50"
BEHIND = (
    "dict(type='eca_mm.AttentionBehind', backbone={}, behind=r'layer1.0.bn3', attention=dict(type='eca_mm.ECALayer'){})"
)


@pytest.mark.parametrize('backbone', [
    "dict(type='mmdet.RegNet', arch='regnetx_400mf')",
    "dict(type='mmpretrain.RegNet', arch='regnetx_400mf')",
    "dict(type='mmdet.PyramidVisionTransformer', num_layers=[1, 1, 1, 1])",
    BEHIND.format("dict(type='mmdet.RegNet', arch='regnetx_400mf')", ''),
    BEHIND.format(f'{MMDET_RESNET}, strides=(1, 2, 2, 1))', ''),
    BEHIND.format(f'{MMDET_RESNET}, strides=(1, 2, 2, 1))', ', strides=(1, 2, 1, 1)'),
])  # fmt: skip
def test_a_checkpoint_fits_the_backbone_of_its_own_config(backbone):
    """Whatever the defaults of its class are, also those that the config does not state."""
    with EmptyOnMeta():
        model = nn.ModuleDict(dict(backbone=MODELS.build(eval(backbone))))
    state = {key: torch.zeros(()).expand(value.shape) for key, value in model.state_dict().items()}
    for text in (f'model = dict(backbone={backbone})', f'backbone={backbone}'):
        check_checkpoint(model, dict(state_dict=state, meta=dict(cfg=text)), 'x.pth')


@pytest.mark.parametrize('other', [dict(style='caffe'), dict(strides=(1, 2, 1, 1)), dict(dilations=(1, 1, 2, 2))])
@pytest.mark.parametrize('kind', ['mmdet.ResNet', 'eca_mm.ECAResNet'])
def test_what_a_config_leaves_out_is_the_default_of_the_class(kind, other):
    with EmptyOnMeta():
        model = nn.ModuleDict(dict(backbone=MODELS.build(dict(type=kind, depth=50, **other))))
    state = {key: torch.zeros(()).expand(value.shape) for key, value in model.state_dict().items()}
    checkpoint = dict(state_dict=state, meta=dict(cfg=f'model = dict(backbone=dict(type={kind!r}, depth=50))'))
    with pytest.raises(ValueError, match=f'^x.pth: its config says {next(iter(other))}='):
        check_checkpoint(model, checkpoint, 'x.pth')


def test_says_what_it_cannot_know(tmp_path):
    state = AuthorsMobileNetV2(width=0.25).state_dict()
    torch.save(dict(state_dict=state, meta=dict(cfg='model = dict(')), tmp_path / 'a.pth')
    result = convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
    assert '\nnote: the config among its metadata is not Python: whether its style, ' in str(result)
