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
from mmpretrain.models import MobileNetV2, ResNet
from mmpretrain.registry import MODELS as MMPRETRAIN
from torch import nn

from eca_mm.models import AttentionMobileNetV2, AttentionResNet, ECALayer, ECAMobileNetV2, ECAResNet, SELayer
from tests.support import randomize

PAPER = {  # millions of 2^20 parameters of the classifiers, Table 2
    ('', 50): 24.37, ('SELayer', 50): 26.77, ('ECALayer', 50): 24.37,
    ('', 101): 42.49, ('SELayer', 101): 47.01, ('ECALayer', 101): 42.49,
    ('', 152): 57.40, ('SELayer', 152): 63.68, ('ECALayer', 152): 57.40,
}  # fmt: skip


def image(n=1, size=64, dtype=torch.float32):
    return torch.randn(n, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(('depth', 'channels'), [(18, 64), (34, 64), (50, 256), (101, 256), (152, 256)])
def test_feature_shapes(depth, channels):
    features = ECAResNet(depth, out_indices=(0, 1, 2, 3)).eval()(image(size=64))
    assert [tuple(f.shape) for f in features] == [(1, channels * 2**i, 16 // 2**i, 16 // 2**i) for i in range(4)]


@pytest.mark.parametrize(('attention', 'depth'), PAPER)
def test_parameters_are_those_of_table_2(attention, depth):
    config = dict(type=f'eca_mm.{attention}') if attention else None
    backbone = AttentionResNet(depth, config)
    count = sum(p.numel() for p in backbone.parameters()) + 2048 * 1000 + 1000  # and the classifier's
    assert round(count / 2**20 - PAPER[attention, depth], 2) == 0


def test_eca_net_50_adds_80_parameters():
    def count(**kwargs):
        return sum(p.numel() for p in ECAResNet(50, **kwargs).parameters())

    plain = sum(p.numel() for p in AttentionResNet(50).parameters())
    assert count(kernel_size=(3, 5, 5, 7)) - plain == 80  # the paper's text
    assert count() - plain == 86  # Eq. 9 on the blocks' outputs


@pytest.mark.parametrize('options', [
    dict(depth=18), dict(depth=50), dict(depth=50, style='caffe'), dict(depth=50, deep_stem=True, avg_down=True),
    dict(depth=50, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
    dict(depth=50, norm_cfg=dict(type='GN', num_groups=8)),
    dict(depth=34, with_cp=True), dict(depth=50, with_cp=True), dict(depth=50, drop_path_rate=0.5),
])  # fmt: skip
def test_without_attention_equals_mmpretrain(options):
    theirs = randomize(ResNet(**options, out_indices=(0, 1, 2, 3)).double())
    ours = AttentionResNet(**options, out_indices=(0, 1, 2, 3)).double()
    ours.load_state_dict(theirs.state_dict())
    for mode in (True, False):
        theirs.train(mode), ours.train(mode)
        x1, x2 = image(2, dtype=torch.float64).requires_grad_(), image(2, dtype=torch.float64).requires_grad_()
        torch.manual_seed(3)  # drop path draws
        expected = theirs(x1)
        torch.manual_seed(3)
        got = ours(x2)
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        sum(f.sum() for f in expected).backward()
        sum(f.sum() for f in got).backward()
        torch.testing.assert_close(x2.grad, x1.grad, rtol=1e-9, atol=1e-9)


def test_without_attention_equals_torchvision():
    theirs = randomize(torchvision.models.resnet50().double()).eval()
    ours = AttentionResNet(50).double().eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith('fc.')})
    expected = nn.Sequential(*list(theirs.children())[:-2])(image(dtype=torch.float64))
    torch.testing.assert_close(ours(image(dtype=torch.float64))[0], expected, rtol=1e-12, atol=1e-12)


def test_eca_resnet_equals_timm():
    """timm's ResNet with its own ECA layer in the same slot; only its name for the layer differs."""
    theirs = timm.create_model('resnet50', block_args=dict(attn_layer='eca'), num_classes=0, global_pool='').double()
    randomize(theirs).eval()
    ours = ECAResNet(50).double().eval()
    ours.load_state_dict({k.replace('.se.', '.eca.'): v for k, v in theirs.state_dict().items()})
    torch.testing.assert_close(
        ours(image(dtype=torch.float64))[0], theirs(image(dtype=torch.float64)), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize('layer', ['ECALayer', 'SELayer'])
def test_equals_mmdet_resnet_with_our_plugin(layer):
    plugin = dict(cfg=dict(type=f'eca_mm.{layer}'), stages=(True,) * 4, position='after_conv3')
    theirs = MMDET.build(dict(type='mmdet.ResNet', depth=50, plugins=[plugin])).double()
    randomize(theirs).eval()
    ours = AttentionResNet(50, dict(type=layer), out_indices=(0, 1, 2, 3)).double().eval()
    ours.load_state_dict(theirs.state_dict())  # the keys are the same ones
    for a, b in zip(ours(image(dtype=torch.float64)), theirs(image(dtype=torch.float64)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert isinstance(theirs, mmdet.models.ResNet)


def test_keys_are_the_authors():
    keys = ECAResNet(50, kernel_size=(3, 5, 5, 7)).state_dict()
    assert keys['layer1.0.eca.conv.weight'].shape == (1, 1, 3)
    assert keys['layer4.2.eca.conv.weight'].shape == (1, 1, 7)
    without = {k for k in keys if '.eca.' not in k}
    assert without == {k for k in torchvision.models.resnet50().state_dict() if not k.startswith('fc.')}


@pytest.mark.parametrize('registry', [ROOT, MMDET, MMPRETRAIN], ids=['mmengine', 'mmdet', 'mmpretrain'])
@pytest.mark.parametrize('name', ['ECAResNet', 'eca_mm.ECAResNet', 'AttentionResNet', 'eca_mm.AttentionResNet'])
def test_names(registry, name):
    assert type(registry.build(dict(type=name, depth=18))).__name__ == name.split('.')[-1]


@pytest.mark.parametrize(('name', 'key'), [('ECALayer', 'eca'), ('eca_mm.ECANSLayer', 'eca'), ('SELayer', 'se')])
def test_plugin_names(name, key):
    assert build_plugin_layer(dict(type=name), in_channels=64)[0] == key


def test_any_registered_layer_fits_the_slot():
    backbone = AttentionResNet(18, dict(type='ContextBlock', ratio=1 / 4), out_indices=(3,))
    assert backbone(image())[0].shape == (1, 512, 2, 2)
    assert 'layer1.0.context_block.conv_mask.weight' in backbone.state_dict()


def test_attention_per_stage():
    backbone = AttentionResNet(18, (None, None, dict(type='SELayer'), dict(type='ECALayer', kernel_size=9)))
    kinds = [{type(m) for m in getattr(backbone, f'layer{i}').modules()} & {SELayer, ECALayer} for i in range(1, 5)]
    assert kinds == [set(), set(), {SELayer}, {ECALayer}]
    assert backbone.layer4[1].eca.conv.kernel_size == (9,)


@pytest.mark.parametrize(
    ('kernel_size', 'expected'),
    [(None, [5, 5, 5, 7]), (3, [3] * 4), ((3, 5, 5, 7), [3, 5, 5, 7]), ([None, 3, 9, 1], [5, 3, 9, 1])],
)
def test_kernel_size(kernel_size, expected):
    backbone = ECAResNet(50, kernel_size)
    assert [getattr(backbone, f'layer{i}')[-1].eca.conv.kernel_size[0] for i in range(1, 5)] == expected


@pytest.mark.parametrize('options', [
    dict(depth=20), dict(depth=50, kernel_size=4), dict(depth=50, kernel_size=(3, 5, 7)),
    dict(depth=50, kernel_size=(3, 5, 7, 8)), dict(depth=18, num_stages=3, kernel_size=(3, 5, 5, 7)),
])  # fmt: skip
def test_refuses(options):
    with pytest.raises(ValueError, match='depth|kernel_size'):
        ECAResNet(**options)


@pytest.mark.parametrize(('options', 'sentence'), [
    (dict(frozen_stages=7), 'frozen_stages .* 1 to 4, got 7'), (dict(frozen_stages=-2), 'frozen_stages .* got -2'),
    (dict(out_indices=(1, 4)), r'out_indices .* 0 to 3, got \(1, 4\)'), (dict(out_indices=(-1,)), 'out_indices'),
    (dict(out_indices=()), 'out_indices'), (dict(num_stages=5), 'num_stages must be 1 to 4, got 5'),
    (dict(num_stages=3), 'strides needs one entry per stage, 3'), (dict(dilations=(1, 1, 2)), 'dilations'),
])  # fmt: skip
def test_refuses_stages_that_there_are_not(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        AttentionResNet(18, **options)


@pytest.mark.parametrize(('attention', 'sentence'), [
    (dict(type='SELayre'), "no layer 'SELayre' is registered; did you mean 'SELayer'"),
    (dict(type='eca_mm.SELayre'), "no layer 'eca_mm.SELayre' is registered; did you mean 'eca_mm.SELayer'"),
    (dict(type='Quux'), "no layer 'Quux' is registered; is the module"),
    ('SELayer', "attention must be a config .*, got 'SELayer'"), (dict(ratio=8), 'attention must be a config'),
])  # fmt: skip
@pytest.mark.parametrize('backbone', [lambda a: AttentionResNet(18, a), AttentionMobileNetV2], ids=['resnet', 'mobile'])
def test_refuses_attention(backbone, attention, sentence):
    with pytest.raises(ValueError, match=sentence):
        backbone(attention)


@pytest.mark.parametrize('deep_stem', [False, True])
@pytest.mark.parametrize('frozen', [-1, 0, 1, 2, 4])
def test_frozen_stages_freeze_their_attention(frozen, deep_stem):
    backbone = ECAResNet(18, frozen_stages=frozen, deep_stem=deep_stem).train()
    trainable = {name for name, p in backbone.named_parameters() if p.requires_grad}
    for name, _ in backbone.named_parameters():
        stage = int(name[5]) if name.startswith('layer') else 0
        assert (name in trainable) == (stage > frozen)
    assert any('.eca.' in name for name in trainable) == (frozen < 4)
    if frozen >= 1:
        assert not backbone.layer1[0].bn1.training and not backbone.layer1.training


def test_norm_eval():
    backbone = ECAResNet(18, norm_eval=True).train()
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(m.training for m in norms)
    assert backbone.layer1[0].eca.training


def test_drop_path_follows_the_attention():
    block, order = ECAResNet(18, drop_path_rate=0.5).train().layer4[1], []
    for name in ('bn2', 'eca', 'drop_path'):
        getattr(block, name).register_forward_hook(lambda *_, name=name: order.append(name))
    block(torch.rand(2, 512, 2, 2))
    assert order == ['bn2', 'eca', 'drop_path']


def test_drop_path_rates():
    backbone = ECAResNet(18, drop_path_rate=0.9).train()
    rates = [
        b.drop_path.drop_prob
        for s in (1, 2, 3, 4)
        for b in getattr(backbone, f'layer{s}')
        if hasattr(b.drop_path, 'drop_prob')
    ]
    assert rates == sorted(rates) and rates[-1] == pytest.approx(0.9)
    block = backbone.layer4[1]
    block.drop_path.drop_prob = 1 - 1e-9
    x = torch.rand(2, 512, 2, 2)
    torch.testing.assert_close(block(x), x)


def test_zero_init_residual():
    backbone = ECAResNet(50, zero_init_residual=True)
    backbone.init_weights()
    assert all(b.bn3.weight.eq(0).all() for b in backbone.layer3)
    backbone = ECAResNet(50, zero_init_residual=False)
    backbone.init_weights()
    assert all(b.bn3.weight.eq(1).all() for b in backbone.layer3)


def test_sync_bn_reverts():
    from mmengine.model import revert_sync_batchnorm

    backbone = revert_sync_batchnorm(ECAResNet(18, norm_cfg=dict(type='SyncBN')))
    assert backbone(image())[0].shape == (1, 512, 2, 2)


def test_checkpointing_computes_twice_and_gives_the_same_gradients():
    plain, saving = ECAResNet(18).double(), ECAResNet(18, with_cp=True).double()
    saving.load_state_dict(plain.state_dict())
    passes = []
    for backbone in (plain, saving):
        backbone.layer2[0].eca.register_forward_hook(lambda module, *_: passes.append(module))
        backbone(image(2, dtype=torch.float64).requires_grad_())[0].pow(2).sum().backward()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-12)
    assert passes == [plain.layer2[0].eca] + [saving.layer2[0].eca] * 2

    # The statistics move with each pass, by a tenth of the way to those of the batch.
    plain(image(2, dtype=torch.float64))
    for a, b in zip(plain.layer2.buffers(), saving.layer2.buffers(), strict=True):
        torch.testing.assert_close(b, a)
    assert saving.layer2[0].bn1.num_batches_tracked == 2 and saving.bn1.num_batches_tracked == 1


def test_export():
    backbone = ECAResNet(18, out_indices=(0, 1, 2, 3)).eval()
    program = torch.export.export(backbone, (image(),))
    for a, b in zip(program.module()(image()), backbone(image()), strict=True):
        torch.testing.assert_close(a, b)


class TestMobileNetV2:
    def test_without_attention_equals_mmpretrain(self):
        theirs = randomize(MobileNetV2(out_indices=(0, 3, 7)))
        theirs.eval()  # returns None there
        ours = AttentionMobileNetV2(out_indices=(0, 3, 7)).eval()
        ours.load_state_dict(theirs.state_dict())
        for a, b in zip(ours(image()), theirs(image()), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)

    def test_attention_follows_the_projection_and_precedes_the_sum(self):
        plain = randomize(MobileNetV2())
        plain.eval()
        ours = ECAMobileNetV2(kernel_size=3).eval()
        ours.load_state_dict(plain.state_dict(), strict=False)
        block, layer = ours.layer3[1], ours.layer3[1].conv.eca
        x = torch.randn(2, 32, 7, 7)
        torch.testing.assert_close(block(x), x + layer(plain.layer3[1].conv(x)))
        assert sum(isinstance(m, ECALayer) for m in ours.modules()) == 17  # in every bottleneck, also without a sum

    @pytest.mark.parametrize('size', [2, (3, 3), (1, 1, 1, 1, 3, 3, 4)])
    def test_refuses_kernel_sizes(self, size):
        with pytest.raises(ValueError, match='kernel_size'):
            ECAMobileNetV2(kernel_size=size)

    def test_frozen_and_checkpointed(self):
        model = ECAMobileNetV2(frozen_stages=2, with_cp=True)
        assert model.train() is model
        assert not any(p.requires_grad for p in model.layer2.parameters())
        assert model.layer3[0].conv.eca.conv.weight.requires_grad
        model(image(2))[0].sum().backward()
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
        with pytest.raises(ValueError, match='missing'):
            ECAMobileNetV2(init_cfg=init).init_weights()
