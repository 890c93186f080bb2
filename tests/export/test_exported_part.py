"""What leaves the framework: parts, folded batch norm, strides."""

import copy

import pytest
import torch
from torch import nn

from eca_mm.engine import load_config
from eca_mm.errors import UserError
from eca_mm.export.exported_part import load_part
from eca_mm.models.fuse import fold_norms
from tests.support import REPOSITORY, randomize

R18 = {'model.backbone.depth': 18, 'model.head.in_channels': 512}
R18_FPN = {'model.backbone.depth': 18, 'model.neck.in_channels': [64, 128, 256, 512]}


@pytest.mark.parametrize(('name', 'options', 'part'), [
    ('eca_resnet50', R18, 'model'), ('se_resnet50', R18, 'backbone'), ('eca_mobilenet_v2', {}, 'model'),
])  # fmt: skip
def test_folding_changes_nothing(name, options, part):
    """In float64, where rounding hides no error."""
    cfg = load_config(REPOSITORY / f'configs/imagenet/{name}.py', cfg_options=options)
    network = randomize(load_part(cfg, 'none', part)[0].double())
    folded = fold_norms(copy.deepcopy(network))
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    images = torch.randn(2, 3, 65, 47, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for expected, got in zip(network(images), folded(images), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_random_weights_are_a_test_too(classifier):
    """The logits depend on the images, not on the last layer's bias alone, and are the same each time."""
    first, _ = load_part(classifier, 'none', 'model')
    torch.manual_seed(1)
    state = torch.get_rng_state()
    second, _ = load_part(classifier, 'none', 'model')
    assert torch.get_rng_state().equal(state)
    images = torch.randn(4, 3, 64, 64)
    (logits,) = first(images)
    assert logits.std(0).mean() > 0.05 and logits.equal(second(images)[0])


@pytest.mark.parametrize(('config', 'part', 'stride', 'outputs'), [
    ('faster_rcnn_eca_r50_fpn_1x', 'backbone', 32, [f'stage_{i}' for i in range(4)]),
    ('faster_rcnn_eca_r50_fpn_1x', 'features', 64, [f'feature_{i}' for i in range(5)]),
    ('imagenet/eca_resnet50', 'features', 32, ['feature_0']),
    ('legacy/retinanet_eca_r50_fpn', 'dense', 128, [f'{o}_{i}' for o in ('feature', 'cls', 'bbox') for i in range(5)]),
])  # fmt: skip
def test_parts(config, part, stride, outputs):
    options = R18 if config.startswith('imagenet') else R18_FPN
    network, _ = load_part(load_config(REPOSITORY / f'configs/{config}.py', cfg_options=options), 'none', part)
    assert network.stride() == stride
    assert [*network.outputs(torch.zeros(1, 3, 64, 64))] == outputs


def of_mmdet(folder, name, **options):
    """A config of mmdet's, as its file would be with these options."""
    (folder / 'theirs.py').write_text(f"_base_ = 'mmdet::{name}'\n")
    return load_config(folder / 'theirs.py', cfg_options={'model.backbone.init_cfg': None, **options})


def test_heads_of_three_outputs(tmp_path):
    """FCOS, whose centerness is the third."""
    network, _ = load_part(of_mmdet(tmp_path, 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'), 'none', 'dense')
    outputs = network.outputs(torch.zeros(1, 3, 64, 64))
    assert [*outputs] == [f'{o}_{i}' for o in ('feature', 'cls', 'bbox', 'third') for i in range(5)]
    assert [outputs[f'{o}_0'].shape[1] for o in ('cls', 'bbox', 'third')] == [80, 4, 1]


def test_heads_that_are_not_dense(tmp_path):
    with pytest.raises(UserError, match='no dense head with anchors or points: choose --part features or backbone'):
        load_part(of_mmdet(tmp_path, 'detr/detr_r50_8xb2-150e_coco.py'), 'none', 'dense')
