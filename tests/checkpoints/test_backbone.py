"""Pretrained weights for a backbone: all of them or an error."""

import re

import pytest
import timm
import torch
import torchvision

from eca_mm.checkpoints import kernel_sizes, load_backbone
from eca_mm.checkpoints.files import Weights
from eca_mm.models import AttentionDenseNet, AttentionInceptionV3, AttentionResNet, ECAMobileNetV2, ECAResNet

THREE_STAGES = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))


def save(path, value):
    torch.save(value, path)
    return str(path)


class Without:
    """An ECA-ResNet-18 that lost a weight."""

    def __init__(self, key):
        self.key = key

    def state_dict(self):
        return {key: value for key, value in ECAResNet(18).state_dict().items() if key != self.key}


@pytest.fixture(scope='module')
def weights():
    """Of an ECA-ResNet-18."""
    return ECAResNet(18).state_dict()


@pytest.mark.parametrize('wrap', [
    lambda s: s,
    lambda s: dict(state_dict={f'module.{k}': v for k, v in s.items() if 'num_batches' not in k}),
    lambda s: dict(state_dict={f'backbone.{k}': v for k, v in s.items()} | {'neck.conv1.weight': torch.ones(1)}),
    lambda s: dict(state_dict=s | {'fc.weight': torch.ones(1)}, optimizer=dict(lr=0.1)),
])  # fmt: skip
def test_sources(weights, tmp_path, wrap):
    load_backbone(target := ECAResNet(18), save(tmp_path / 'a.pth', wrap(weights)))
    assert all(value.equal(weights[name]) for name, value in target.named_parameters())


def test_torchvision(tmp_path):
    source = torchvision.models.resnet18()
    init_cfg = dict(type='Pretrained', checkpoint=save(tmp_path / 'a.pth', source.state_dict()))
    target = AttentionResNet(18, init_cfg=init_cfg)
    target.init_weights()  # mmpretrain would set the last norms to zero after it, were the weights not pretrained
    assert target.layer4[1].bn2.weight.equal(source.layer4[1].bn2.weight)
    assert target.conv1.weight.equal(source.conv1.weight)


@pytest.mark.parametrize('channels', [1, 2, 4, 7])
@pytest.mark.parametrize('name', ['resnet18', 'resnet18d'])
def test_other_numbers_of_input_channels(name, channels, tmp_path):
    """As timm's ``in_chans`` makes of the same weights, to the last bit."""
    theirs = timm.create_model(name)
    key = 'stem.0.conv.weight' if name.endswith('d') else 'conv1.weight'
    expected = timm.models.adapt_input_conv(channels, next(theirs.parameters()).detach())
    deep = dict(deep_stem=True, avg_down=True) if name.endswith('d') else {}
    file = dict(type='Pretrained', checkpoint=save(tmp_path / 'a.pth', theirs.state_dict()))
    with pytest.raises(ValueError, match='; adapt_input=True in init_cfg adapts the first'):
        AttentionResNet(18, in_channels=channels, init_cfg=file, **deep).init_weights()
    target = AttentionResNet(18, in_channels=channels, init_cfg=dict(file, adapt_input=True), **deep)
    target.init_weights()
    assert target.state_dict()[key].equal(expected)
    assert target.layer4[1].conv2.weight.equal(theirs.layer4[1].conv2.weight)


def test_adapted_input_is_refused_where_more_differs(weights, tmp_path):
    file = save(tmp_path / 'a.pth', weights)
    with pytest.raises(ValueError, match='of a ResNet-18 with ECA, .*, and the model has a ResNet-34'):
        load_backbone(ECAResNet(34, in_channels=1), file, adapt_input=True)


ECA18 = 'ResNet-18 with ECA, k = 3, 5, 5, 5'


@pytest.mark.parametrize(('source', 'message'), [
    (lambda: AttentionResNet(18),
     f"has the weights of a ResNet-18, and the model has a {ECA18}: set backbone=dict(type='eca_mm.AttentionResNet', depth=18)"),
    (lambda: AttentionResNet(18, dict(type='SELayer')), f'of a ResNet-18 with SE, and the model has a {ECA18}'),
    (lambda: ECAResNet(18, kernel_size=9), f'of a ResNet-18 with ECA, k = 9, 9, 9, 9, and the model has a {ECA18}'),
    (lambda: ECAResNet(34), 'of a ResNet-34 with ECA, k = 3, 5, 5, 5, and'),
    (lambda: ECAResNet(18, **THREE_STAGES), 'is of no network here: stages of (2, 2, 2) blocks with 2 convolutions'),
    (lambda: Without('layer1.0.bn1.bias'), 'does not fit ECAResNet: 1 missing: layer1.0.bn1.bias'),
])  # fmt: skip
def test_refuses_less_than_all(tmp_path, source, message):
    file = save(tmp_path / 'a.pth', source().state_dict())
    target = ECAResNet(18, init_cfg=dict(type='Pretrained', checkpoint=file))
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(message)):
        target.init_weights()
    assert all(v.equal(before[k]) for k, v in target.state_dict().items())


@pytest.mark.parametrize(('value', 'message'), [
    (torch.full((64,), float('nan')), 'a.pth has NaN or infinity in 1 weights: layer1.0.bn1.bias'),
    *((torch.ones(64).to(dtype), f'a.pth has layer1.0.bn1.bias in {dtype}: weights must be float16, ')
      for dtype in (torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn)),
])  # fmt: skip
def test_refuses_what_are_no_numbers(weights, tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        load_backbone(ECAResNet(18), save(tmp_path / 'a.pth', weights | {'layer1.0.bn1.bias': value}))


def test_passes_over_what_it_does_not_load(weights, tmp_path):
    """MoCo's queue has an integer for its place, and a file may hold what is no tensor."""
    state = {f'backbone.{key}': value for key, value in weights.items()}
    others = {'queue': torch.full((2,), float('nan')), 'queue_ptr': torch.zeros(1, dtype=torch.long), 'note': None}
    load_backbone(target := ECAResNet(18), save(tmp_path / 'a.pth', dict(state_dict=state | others)))
    assert target.conv1.weight.equal(weights['conv1.weight'])


def test_refuses_another_style(tmp_path):
    """Whose weights have the same keys and shapes; the file's config tells."""
    one_stage = dict(num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,))
    caffe, pytorch = (AttentionResNet(50, style=style, **one_stage) for style in ('caffe', 'pytorch'))
    for text, fits, not_fits in (
        ('model = dict(backbone=dict(style="caffe"))', caffe, pytorch),
        ('model = dict(backbone=dict(depth=50))', pytorch, caffe),
    ):
        file = save(tmp_path / 'a.pth', dict(state_dict=caffe.state_dict(), meta=dict(cfg=text)))
        load_backbone(fits, file)
        with pytest.raises(ValueError, match=f"config says style='{fits.style}', and the backbone has style="):
            load_backbone(not_fits, file)
    load_backbone(caffe, save(tmp_path / 'a.pth', caffe.state_dict()))  # nothing tells
    text = 'model = dict(backbone=dict(style="caffe"))'  # where there is no difference
    state = AttentionResNet(18).state_dict()
    load_backbone(AttentionResNet(18), save(tmp_path / 'a.pth', dict(state_dict=state, meta=dict(cfg=text))))


@pytest.mark.parametrize('name', ['seresnetaa50d', 'seresnextaa101d_32x8d'])
def test_refuses_what_is_anti_aliased(name, tmp_path):
    """timm's resnetaa50 has the keys and shapes of its resnet50; the name in its training checkpoints tells."""
    save(tmp_path / 'a.pth', dict(arch=name, state_dict=dict(w=torch.ones(1))))
    with pytest.raises(ValueError, match=rf'a\.pth is of {name}, which is anti-aliased, as no ResNet here is'):
        load_backbone(AttentionResNet(18), str(tmp_path / 'a.pth'))


def test_other_backbones(tmp_path):
    """As strictly as a ResNet, by torchvision's names too, which mmengine's own loader would pass over with a warning."""
    theirs = torchvision.models.DenseNet(8, (1, 2, 1, 1), 16).state_dict()
    arch = dict(growth_rate=8, depths=(1, 2, 1, 1), init_channels=16)
    init_cfg = dict(type='Pretrained', checkpoint=save(tmp_path / 'a.pth', theirs))
    target = AttentionDenseNet(arch, init_cfg=init_cfg)
    target.init_weights()
    assert target.stages[1].block[1].conv2.weight.equal(theirs['features.denseblock2.denselayer2.conv2.weight'])
    with pytest.raises(
        ValueError, match=r'of a DenseNet with arch=dict\(growth_rate=8, .* and the model has a DenseNet-121'
    ):
        AttentionDenseNet(init_cfg=init_cfg).init_weights()


def test_a_classifier_that_is_part_of_the_backbone(monkeypatch):
    theirs = torchvision.models.inception_v3(num_classes=7, init_weights=False).state_dict()
    monkeypatch.setattr('eca_mm.checkpoints.files.read_weights', lambda source: Weights(theirs))
    target = AttentionInceptionV3(num_classes=3)
    before = target.fc.weight.clone()
    load_backbone(target, 'a.pth')
    assert target.fc.weight.equal(before)
    assert target.Mixed_7c.branch1x1.conv.weight.equal(theirs['Mixed_7c.branch1x1.conv.weight'])
    sentence = 'an InceptionV3 with num_classes=7, aux_logits=True, and the model has an InceptionV3 with ECA, k = 3, 3, 3: set'
    with pytest.raises(ValueError, match=sentence):
        load_backbone(AttentionInceptionV3(dict(type='ECALayer', kernel_size=3)), 'a.pth')


def test_later_stages_may_be_left_out(weights, tmp_path):
    load_backbone(ECAResNet(18, **THREE_STAGES), save(tmp_path / 'a.pth', weights))


def test_kernel_sizes():
    assert kernel_sizes(ECAResNet(18, (3, 5, 7, 9)).state_dict()) == (3, 5, 7, 9)
    attention = (
        None,
        dict(type='ECANSLayer', kernel_size=5),
        dict(type='SELayer'),
        dict(type='ECALayer', kernel_size=3),
    )
    state = AttentionResNet(18, attention).state_dict()
    assert kernel_sizes({f'backbone.{key}': value for key, value in state.items()}) == (5, 3)
    state = ECAMobileNetV2(kernel_size=(1, 1, 1, 1, 3, 3, 5), widen_factor=0.25).state_dict()
    assert kernel_sizes(state) == (1, 1, 1, 1, 3, 3, 5)
