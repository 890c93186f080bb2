"""The backbones against mmpretrain's, mmdet's, torchvision's and timm's."""

import mmdet.models
import pytest
import timm
import torch
import torchvision
from mmcv.cnn.bricks import build_plugin_layer
from mmdet.registry import MODELS as MMDET
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS as ROOT
from mmengine.registry import TASK_UTILS
from mmpretrain.models import MobileNetV2, ResNet
from mmpretrain.registry import MODELS as MMPRETRAIN
from torch import nn

import eca_mm
from eca_mm.models import AttentionMobileNetV2, AttentionResNet, ECALayer, ECAMobileNetV2, ECAResNet, SELayer
from tests.support import randomize


def image(n=1, size=37, dtype=torch.float64, **kwargs):
    return torch.randn(n, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(0), **kwargs)


@pytest.mark.parametrize(('depth', 'channels'), [(18, 64), (34, 64), (50, 256), (101, 256), (152, 256)])
def test_feature_shapes(depth, channels):
    backbone = ECAResNet(depth, out_indices=(0, 1, 2, 3)).eval().to('meta')
    features = backbone(torch.empty(1, 3, 64, 64, device='meta'))
    assert [tuple(f.shape) for f in features] == [(1, channels * 2**i, 16 // 2**i, 16 // 2**i) for i in range(4)]


def test_eca_net_50_adds_80_parameters():
    def count(**kwargs):
        return sum(p.numel() for p in ECAResNet(50, **kwargs).parameters())

    plain = sum(p.numel() for p in AttentionResNet(50).parameters())
    assert count(kernel_size=(3, 5, 5, 7)) - plain == 80  # the paper's text
    assert count() - plain == 86  # Eq. 9 on the blocks' outputs


@pytest.mark.parametrize('options', [
    dict(depth=18, drop_path_rate=0.5),
    dict(depth=18, deep_stem=True, avg_down=True, with_cp=True, norm_cfg=dict(type='GN', num_groups=8)),
    dict(depth=50, style='caffe', strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
])  # fmt: skip
def test_without_attention_equals_mmpretrain(options):
    theirs = randomize(ResNet(**options, out_indices=(0, 1, 2, 3)).double())
    ours = AttentionResNet(**options, out_indices=(0, 1, 2, 3)).double()
    ours.load_state_dict(theirs.state_dict())
    for mode in (True, False):
        theirs.train(mode), ours.train(mode)
        x1, x2 = image(2).requires_grad_(), image(2).requires_grad_()
        torch.manual_seed(3)  # drop path draws
        expected = theirs(x1)
        torch.manual_seed(3)
        got = ours(x2)
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    sum(f.sum() for f in expected).backward()
    sum(f.sum() for f in got).backward()
    torch.testing.assert_close(x2.grad, x1.grad, rtol=1e-9, atol=1e-9)


def test_eca_resnet_equals_timm():
    """timm's ResNet with its own ECA layer in the same slot; only its name for the layer differs."""
    theirs = timm.create_model('resnet18', block_args=dict(attn_layer='eca'), num_classes=0, global_pool='').double()
    randomize(theirs).eval()
    ours = ECAResNet(18).double().eval()
    ours.load_state_dict({k.replace('.se.', '.eca.'): v for k, v in theirs.state_dict().items()})
    torch.testing.assert_close(ours(image())[0], theirs(image()), rtol=1e-12, atol=1e-12)


def test_equals_mmdet_resnet_with_our_plugin():
    plugin = dict(cfg=dict(type='eca_mm.SELayer'), stages=(True,) * 4, position='after_conv3')
    theirs = MMDET.build(dict(type='mmdet.ResNet', depth=50, plugins=[plugin])).double()
    assert isinstance(theirs, mmdet.models.ResNet)
    randomize(theirs).eval()
    ours = AttentionResNet(50, dict(type='SELayer'), out_indices=(0, 1, 2, 3)).double().eval()
    ours.load_state_dict(theirs.state_dict())  # the keys are the same ones
    torch.testing.assert_close(ours(image()), theirs(image()), rtol=1e-10, atol=1e-10)


def test_keys_are_the_authors():
    keys = ECAResNet(50, kernel_size=(3, 5, 5, 7)).state_dict()
    assert keys['layer1.0.eca.conv.weight'].shape == (1, 1, 3)
    assert keys['layer4.2.eca.conv.weight'].shape == (1, 1, 7)
    without = {k for k in keys if '.eca.' not in k}
    assert without == {k for k in torchvision.models.resnet50().state_dict() if not k.startswith('fc.')}


@pytest.mark.parametrize('registry', [ROOT, MMDET, MMPRETRAIN], ids=['mmengine', 'mmdet', 'mmpretrain'])
def test_names(registry):
    for name in ('ECAResNet', 'AttentionResNet', 'ECAMobileNetV2', 'AttentionMobileNetV2', 'ECALayer', 'SEGCLayer'):
        assert registry.get(name) is registry.get(f'eca_mm.{name}') is getattr(eca_mm, name)
    assert type(registry.build(dict(type='eca_mm.ECAResNet', depth=18))) is eca_mm.ECAResNet
    assert build_plugin_layer(dict(type='eca_mm.ECANSLayer'), in_channels=64)[0] == 'eca'


def test_scoped_name_of_a_task_util():
    assert TASK_UTILS.get('eca_mm.LegacyBoxCoder').__module__ == 'eca_mm.models.legacy'


def test_attention_per_stage():
    backbone = AttentionResNet(18, (None, None, dict(type='SELayer'), dict(type='ECALayer', kernel_size=9)))
    kinds = [{type(m) for m in getattr(backbone, f'layer{i}').modules()} & {SELayer, ECALayer} for i in range(1, 5)]
    assert kinds == [set(), set(), {SELayer}, {ECALayer}]
    assert backbone.layer4[1].eca.conv.kernel_size == (9,)


@pytest.mark.parametrize(('depth', 'kernel_size', 'expected'), [
    (50, None, [5, 5, 5, 7]), (18, 3, [3] * 4), (18, (3, 5, 5, 7), [3, 5, 5, 7]), (18, [None, 3, 9, 1], [3, 3, 9, 1]),
])  # fmt: skip
def test_kernel_size(depth, kernel_size, expected):
    backbone = ECAResNet(depth, kernel_size)
    assert [getattr(backbone, f'layer{i}')[-1].eca.conv.kernel_size[0] for i in range(1, 5)] == expected


@pytest.mark.parametrize(('options', 'sentence'), [
    (dict(depth=20), 'depth .* got 20'), (dict(kernel_size=4), 'kernel_size .* got 4'),
    (dict(kernel_size=(3, 5, 7)), 'kernel_size needs one entry per stage, 4'),
    (dict(kernel_size=(3, 5, 7, 8)), 'kernel_size .* got 8'),
    (dict(num_stages=3, kernel_size=(3, 5, 5, 7)), 'kernel_size needs one entry per stage, 3'),
    (dict(frozen_stages=7), 'frozen_stages .* 1 to 4, got 7'), (dict(frozen_stages=-2), 'frozen_stages .* got -2'),
    (dict(out_indices=(1, 4)), r'out_indices .* 0 to 3, got \(1, 4\)'), (dict(out_indices=(-1,)), 'out_indices'),
    (dict(out_indices=()), 'out_indices'), (dict(num_stages=5), 'num_stages must be 1 to 4, got 5'),
    (dict(num_stages=3), 'strides needs one entry per stage, 3'), (dict(dilations=(1, 1, 2)), 'dilations'),
])  # fmt: skip
def test_refuses(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ECAResNet(**{'depth': 18, **options})


def test_mobilenet_refuses_kernel_sizes():
    for size in 2, (3, 3), (1, 1, 1, 1, 3, 3, 4):
        with pytest.raises(ValueError, match='kernel_size'):
            ECAMobileNetV2(kernel_size=size)


FAMILIES = pytest.mark.parametrize(
    'family', [lambda a: AttentionResNet(18, a), AttentionMobileNetV2], ids=['resnet', 'mobile']
)


@FAMILIES
@pytest.mark.parametrize(('attention', 'sentence'), [
    (dict(type='SELayre'), "no layer 'SELayre' is registered; did you mean 'SELayer'"),
    (dict(type='eca_mm.SELayre'), "no layer 'eca_mm.SELayre' is registered; did you mean 'eca_mm.SELayer'"),
    (dict(type='Quux'), "no layer 'Quux' is registered; is the module"),
    ('SELayer', "attention must be a config .*, got 'SELayer'"), (dict(ratio=8), 'attention must be a config'),
    ((None, None), 'attention needs one entry per stage'),
])  # fmt: skip
def test_refuses_attention(family, attention, sentence):
    with pytest.raises(ValueError, match=sentence):
        family(attention)


class Halve(nn.Module):
    """No channel attention, but it has `in_channels`."""

    def __init__(self, in_channels):
        super().__init__()
        self.factor = nn.Parameter(torch.full((in_channels, 1, 1), 0.5))

    def forward(self, x):
        return x * self.factor


def residual_block(backbone):
    return backbone.layer1[1] if isinstance(backbone, AttentionResNet) else backbone.layer3[1]


@FAMILIES
class TestSlot:
    def test_takes_any_layer(self, family):
        backbone = family(dict(type=Halve))
        block = residual_block(backbone)
        (key,) = (key for key in block.state_dict() if 'factor' in key)
        assert key == f'{block.attention_name}.factor' and isinstance(block.slot, Halve)
        assert len(block.slot.factor) == block.out_channels
        assert len(backbone(image(dtype=torch.float32))[0]) == 1
        assert residual_block(family(dict(type='ContextBlock', ratio=1 / 4))).slot.conv_mask  # mmcv's

    def test_an_error_in_the_layer_is_not_swallowed(self, family):
        class FaultyConstructor(Halve):
            def __init__(self, in_channels):
                raise KeyError('constructor')

        class FaultyForward(Halve):
            def forward(self, x):
                raise KeyError('forward')

        with pytest.raises(KeyError, match='constructor'):
            family(dict(type=FaultyConstructor))
        with pytest.raises(KeyError, match='forward'):
            family(dict(type=FaultyForward))(image(dtype=torch.float32))

    def test_tail_ends_the_block_and_calls_the_layer_s_hooks(self, family):
        block, seen = residual_block(family(dict(type='ECALayer'))), []
        block.slot.register_forward_hook(lambda layer, inputs, output: seen.append((*inputs, output)))
        x = torch.rand(2, block.out_channels, 3, 4)
        y = block(x)
        ((before, after),) = seen
        torch.testing.assert_close(after, block.slot(before))
        relu = torch.relu if hasattr(block, 'relu') else nn.Identity()
        torch.testing.assert_close(y, relu(after + x))


def test_drop_path_follows_the_attention():
    block, order = ECAResNet(18, drop_path_rate=0.5).train().layer4[1], []
    for name in ('bn2', 'eca', 'drop_path'):
        getattr(block, name).register_forward_hook(lambda *_, name=name: order.append(name))
    block(torch.rand(2, 512, 2, 2))
    assert order == ['bn2', 'eca', 'drop_path']


@pytest.mark.parametrize(('frozen', 'deep_stem'), [(-1, False), (0, True), (0, False), (1, True), (4, False)])
def test_frozen_stages_freeze_their_attention(frozen, deep_stem):
    backbone = ECAResNet(18, frozen_stages=frozen, deep_stem=deep_stem, norm_eval=True)
    for name, parameter in backbone.named_parameters():  # before an optimiser asks
        stage = int(name[5]) if name.startswith('layer') else 0
        assert parameter.requires_grad == (stage > frozen)
    assert backbone.train() is backbone and backbone.layer1.training == (frozen < 1)
    assert backbone.layer4[0].eca.training == (frozen < 4) and not backbone.layer4[0].bn1.training


@pytest.mark.parametrize(('depth', 'norm', 'zero'), [(50, 'bn3', True), (18, 'bn2', False)])
def test_zero_init_residual(depth, norm, zero):
    backbone = ECAResNet(depth, zero_init_residual=zero)
    backbone.init_weights()
    assert all(getattr(block, norm).weight.eq(0 if zero else 1).all() for block in backbone.layer3)


def test_checkpointing_computes_twice_and_gives_the_same_gradients():
    plain, saving = ECAResNet(18).double(), ECAResNet(18, with_cp=True).double()
    saving.load_state_dict(plain.state_dict())
    passes = []
    for backbone in (plain, saving):
        backbone.layer2[0].eca.register_forward_hook(lambda module, *_: passes.append(module))
        backbone(image(2).requires_grad_())[0].pow(2).sum().backward()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-12)
    assert passes == [plain.layer2[0].eca] + [saving.layer2[0].eca] * 2

    # The statistics move with each pass, by a tenth of the way to those of the batch.
    plain(image(2))
    for a, b in zip(plain.layer2.buffers(), saving.layer2.buffers(), strict=True):
        torch.testing.assert_close(b, a)
    assert saving.layer2[0].bn1.num_batches_tracked == 2 and saving.bn1.num_batches_tracked == 1


class TestMobileNetV2:
    @pytest.mark.parametrize('with_cp', [False, True])
    def test_without_attention_equals_mmpretrain(self, with_cp):
        theirs = randomize(MobileNetV2(out_indices=(0, 3, 7)))
        theirs.eval()  # returns None there
        ours = AttentionMobileNetV2(out_indices=(0, 3, 7), with_cp=with_cp).eval()
        ours.load_state_dict(theirs.state_dict())
        assert list(ours.state_dict()) == list(theirs.state_dict())
        x = image(dtype=torch.float32, requires_grad=True)
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)

    def test_attention_follows_the_projection_and_precedes_the_sum(self):
        plain = randomize(MobileNetV2(widen_factor=0.5))
        plain.eval()
        ours = ECAMobileNetV2(kernel_size=3, widen_factor=0.5).eval()
        missing = ours.load_state_dict(plain.state_dict(), strict=False).missing_keys
        assert len(missing) == 17 and 'layer3.1.conv.eca.conv.weight' in missing  # also in blocks without a sum
        x, block, other = torch.randn(2, 16, 7, 7), ours.layer3[1], ours.layer3[0]
        torch.testing.assert_close(block(x), x + block.slot(plain.layer3[1].conv(x)))
        torch.testing.assert_close(other(x), other.slot(plain.layer3[0].conv(x)))

    def test_frozen_and_checkpointed(self):
        model = ECAMobileNetV2(frozen_stages=2, with_cp=True)
        assert model.train() is model
        assert not any(p.requires_grad for p in model.layer2.parameters())
        assert model.layer3[0].conv.eca.conv.weight.requires_grad
        model(image(2, dtype=torch.float32))[0].sum().backward()
        assert model.layer7[0].conv.eca.conv.weight.grad is not None

    @pytest.mark.parametrize('wrap', [
        lambda init: init, lambda init: [dict(type='Kaiming', layer='Conv2d'), init],
        lambda init: dict(init, type=PretrainedInit),
    ], ids=['dict', 'list', 'class'])  # fmt: skip
    def test_pretrained_is_strict(self, wrap, tmp_path):
        plain = MobileNetV2().state_dict()
        torch.save(plain, tmp_path / 'plain.pth')
        init = wrap(dict(type='Pretrained', checkpoint=str(tmp_path / 'plain.pth')))
        model = AttentionMobileNetV2(init_cfg=init)
        model.init_weights()
        assert all(torch.equal(value, plain[name]) for name, value in model.state_dict().items())
        with pytest.raises(
            ValueError, match='has the weights of a MobileNetV2, and the model has a MobileNetV2 with ECA'
        ):
            ECAMobileNetV2(init_cfg=init).init_weights()
