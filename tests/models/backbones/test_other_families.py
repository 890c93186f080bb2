"""ResNeXt, pre-activation ResNet, DenseNet, Inception and AA-Net against timm's, torchvision's and their parts."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn

from eca_mm.checkpoints.weights import EmptyOnMeta
from eca_mm.models import (
    AAConv2d,
    AAResNet,
    AttentionDenseNet,
    AttentionInceptionV3,
    AttentionMobileNetV2,
    AttentionPreActResNet,
    AttentionResNet,
    AttentionResNeXt,
    ECALayer,
    ECAMobileNetV2,
    ECAResNet,
)
from tests.support import randomize

ECA = dict(type='ECALayer')
EXACTLY = dict(rtol=1e-10, atol=1e-10)


def image(size=64):
    return torch.randn(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def layers(model):
    return [m for m in model.modules() if isinstance(m, ECALayer)]


def behind(model, names, get):
    """The same network with ECA layers, by name, behind modules of torchvision's."""
    for name, layer in zip(names, layers(get), strict=True):
        parent, _, child = name.rpartition('.')
        parent = model.get_submodule(parent)
        setattr(parent, child, nn.Sequential(getattr(parent, child), layer))


def test_resnext_is_torchvisions():
    theirs = torchvision.models.resnext50_32x4d()
    theirs.fc = nn.Identity()
    ours = AttentionResNeXt(50).double().eval()
    ours.load_state_dict(randomize(theirs.double()).eval().state_dict())
    torch.testing.assert_close(ours(image())[0].mean((2, 3)), theirs(image()), **EXACTLY)
    with EmptyOnMeta():
        assert len(layers(AttentionResNeXt(101, [None, ECA, ECA, ECA]))) == 30
    with pytest.raises(ValueError, match='depth must be one of .*, got 18'):
        AttentionResNeXt(18)


def test_preact_resnet_is_timms():
    """Whose first norm and ReLU follow the pooling: with positive scales the order makes no difference."""
    theirs = timm.create_model('resnetv2_50', num_classes=0, global_pool='').double()
    names = {'stem.conv.': 'conv1.', 'stages.0.blocks.0.norm1.': 'bn1.', 'norm.': 'layer4.norm.'}

    def ours_of(key):
        key = next((new + key.removeprefix(old) for old, new in names.items() if key.startswith(old)), key)
        if key.startswith('stages.'):
            _, stage, _, rest = key.split('.', 3)
            key = f'layer{int(stage) + 1}.{rest}'.replace('norm', 'bn').replace('downsample.conv', 'downsample.0')
        return key

    ours = AttentionPreActResNet(50).double().eval()
    state = randomize(theirs).eval().state_dict()
    ours.load_state_dict({ours_of(key): value for key, value in state.items()})
    torch.testing.assert_close(ours(image())[0], theirs(image()), **EXACTLY)


def test_attention_in_preact_resnet():
    model = randomize(
        AttentionPreActResNet(50, ECA, num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,))
    ).eval()
    assert len(layers(model)) == 3
    block, x = model.layer1[1], torch.randn(1, 256, 5, 5)
    y = block.conv3(block.norm3(block.conv2(block.norm2(block.conv1(block.norm1(x).relu())).relu())).relu())
    torch.testing.assert_close(block(x), x + block.eca(y))


def test_resnet_200_has_the_parameters_of_its_paper():
    with EmptyOnMeta():
        assert parameters(AttentionPreActResNet(200)) + 2049 * 1000 == pytest.approx(64.7e6, rel=1e-3)
        assert parameters(AttentionDenseNet('264')) + 2689 * 1000 == pytest.approx(33.3e6, rel=2e-3)


def test_densenet_is_torchvisions_with_attention():
    theirs = torchvision.models.densenet121()
    theirs.classifier = nn.Identity()
    ours = randomize(AttentionDenseNet('121', ECA).double()).eval()
    plain = {k: v for k, v in ours.state_dict().items() if '.eca.' not in k}
    theirs.double().eval()

    def torchvisions(key):
        key = key.replace('stem.0', 'features.conv0').replace('stem.1', 'features.norm0')
        key = key.replace('transitions.3.0', 'features.norm5')
        for i in range(4):
            key = key.replace(f'transitions.{i}.', f'features.transition{i + 1}.')
            for j in reversed(range(24)):
                key = key.replace(f'stages.{i}.block.{j}.', f'features.denseblock{i + 1}.denselayer{j + 1}.')
        return key

    theirs.load_state_dict({torchvisions(key): value for key, value in plain.items()})
    names = [name for name, _ in theirs.named_modules() if name.endswith('.conv2')]
    behind(theirs, names, ours)
    torch.testing.assert_close(ours(image())[0].mean((2, 3)), theirs(image()), **EXACTLY)
    assert ours.train() is ours


def test_inception_is_torchvisions_with_attention():
    theirs = torchvision.models.inception_v3(weights=None, aux_logits=False, init_weights=False).double()
    ours = randomize(AttentionInceptionV3(ECA).double()).eval()
    theirs.load_state_dict({k: v for k, v in ours.state_dict().items() if '.eca.' not in k})
    theirs.eval()
    behind(theirs, [name for name, _ in theirs.named_children() if name.startswith('Mixed')], ours)
    torch.testing.assert_close(ours(image(96))[1], theirs(image(96)), **EXACTLY)
    assert ours.eval() is ours and len(layers(ours)) == 11


def test_aa_resnet_augments_the_last_three_stages():
    with EmptyOnMeta():
        model, plain = AAResNet(50), AttentionResNet(50)
    convs = [[block.conv2 for block in getattr(model, f'layer{i}')] for i in range(1, 5)]
    assert not any(isinstance(conv, AAConv2d) for conv in convs[0])
    assert [(len(s), {len(c.row_distances) for c in s}) for s in convs[1:]] == [(4, {55}), (6, {27}), (3, {13})]
    for network in model, plain:
        network.eval().to('meta')
    x = torch.empty(2, 3, 96, 64, device='meta')
    assert [f.shape for f in model(x)] == [f.shape for f in plain(x)]


def test_dilated_aa_resnet():
    options = dict(depth=50, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
    with EmptyOnMeta():
        model, plain = AAResNet(**options).eval().to('meta'), AttentionResNet(**options).eval().to('meta')
    convs = [name for name, module in model.named_modules() if isinstance(module, AAConv2d)]
    pairs = [(model.get_submodule(name), plain.get_submodule(name)) for name in convs]
    assert all(ours.conv.dilation == theirs.dilation for ours, theirs in pairs)
    assert {len(ours.row_distances) for ours, _ in pairs} == {2 * 28 - 1}  # of an image of 224 pixels
    x = torch.empty(2, 3, 96, 64, device='meta')
    assert [f.shape for f in model(x)] == [f.shape for f in plain(x)]


@pytest.mark.parametrize(('make', 'stages'), [
    (partial(AttentionResNet, 18, ECA), 4), (partial(ECAResNet, 50), 4), (partial(AttentionResNeXt, 50, ECA), 4),
    (partial(AttentionPreActResNet, 50, ECA), 4), (partial(AAResNet, 50), 4), (partial(AttentionDenseNet, '121', ECA), 4),
    (partial(AttentionMobileNetV2, ECA), 7), (ECAMobileNetV2, 7),
])  # fmt: skip
def test_frozen_stages_are_frozen_from_the_start(make, stages):
    """DistributedDataParallel, which waits for the gradients of all that is not frozen, wraps the model before train()."""
    for frozen in (0, 2, stages):
        with EmptyOnMeta():
            model = make(frozen_stages=frozen)
        built = {name for name, p in model.named_parameters() if not p.requires_grad}
        model.train()
        assert built == {name for name, p in model.named_parameters() if not p.requires_grad}
        assert built or (frozen, type(model)) == (0, AttentionDenseNet)


@pytest.mark.parametrize(('make', 'sentence'), [
    (lambda: AttentionDenseNet('122'), "arch must be one of 121, .*, got '122'"),
    (lambda: AttentionDenseNet('121', [ECA]), 'attention needs one entry per stage, 4'),
    (lambda: AttentionInceptionV3([ECA]), 'attention needs one entry per stage, 3'),
    (lambda: AAResNet(50, dict(heads=64)), 'value_ratio=0.1 of 128 channels'),
    (lambda: AAResNet(18), 'depth must be one of .*, got 18'),
])  # fmt: skip
def test_refuses(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize('make', [
    lambda: AAResNet(50, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,)),
    lambda: AttentionDenseNet(dict(growth_rate=8, depths=(1, 2), init_channels=8), ECA),
])  # fmt: skip
def test_torch_fx_traces(make):
    model = randomize(make().double()).eval()
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(image())[0], model(image())[0], **EXACTLY)
