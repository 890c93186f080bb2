"""What leaves the framework: parts, folded batch norm, strides, kernel sizes."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from eca_mm.checkpoints import kernel_sizes
from eca_mm.engine import load_config
from eca_mm.export.exported_part import fold_batch_norm, load_part
from tests.support import REPOSITORY, randomize

IMAGENET = REPOSITORY / 'configs/imagenet'
R18 = {'model.backbone.depth': 18, 'model.head.in_channels': 512}


@pytest.mark.parametrize(
    ('name', 'options'), [('eca_resnet50', {}), ('se_resnet50', R18), ('eca_mobilenet_v2', {})], ids=str
)
def test_folding_changes_nothing(name, options):
    """In float64, where rounding hides no error."""
    network, _ = load_part(load_config(IMAGENET / f'{name}.py', cfg_options=options), 'none', 'model')
    network = randomize(network.double())
    folded = fold_batch_norm(network)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    images = torch.randn(2, 3, 65, 47, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for expected, got in zip(network.outputs(images).values(), folded(images), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_random_weights_are_a_test_too(classifier):
    """The logits depend on the images, not on the last layer's bias alone, and are the same each time."""
    state = torch.get_rng_state()
    (first, _), (second, _) = (load_part(classifier, 'none', 'model') for _ in range(2))
    assert torch.get_rng_state().equal(state)
    images = torch.randn(4, 3, 64, 64)
    (logits,) = first(images)
    assert logits.std(0).mean() > 0.05 and logits.equal(second(images)[0])


@pytest.mark.parametrize(
    ('config', 'part', 'stride', 'outputs'),
    [
        ('faster_rcnn_eca_r50_fpn_1x', 'backbone', 32, ['stage_0', 'stage_1', 'stage_2', 'stage_3']),
        ('faster_rcnn_eca_r50_fpn_1x', 'features', 64, [f'feature_{i}' for i in range(5)]),
        (
            'legacy/retinanet_eca_r50_fpn',
            'dense',
            128,
            [f'{o}_{i}' for o in ('feature', 'cls', 'bbox') for i in range(5)],
        ),
    ],
)
def test_parts_of_detectors(config, part, stride, outputs):
    small = {'model.backbone.depth': 18, 'model.neck.in_channels': [64, 128, 256, 512]}
    cfg = load_config(REPOSITORY / f'configs/{config}.py', cfg_options=small)
    network, _ = load_part(cfg, 'none', part)
    assert network.stride() == stride
    assert [*network.outputs(torch.zeros(1, 3, 64, 64))] == outputs


def test_plugins_have_kernel_sizes_too():
    plugin = dict(cfg=dict(type='eca_mm.ECALayer'), stages=(True,) * 4, position='after_conv3')
    backbone = MODELS.build(dict(type='mmdet.ResNet', depth=50, plugins=[plugin]))
    assert kernel_sizes(backbone.state_dict()) == (5, 5, 5, 7)
