"""Exported networks against PyTorch, and released checkpoints against the ones that they come from."""

import copy
import hashlib
import json
import os
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from torch import nn

from eca_mm.convert.convert import convert
from eca_mm.engine import evaluate, load_config
from eca_mm.engine.model import load_model
from eca_mm.export import ExportSettings, export, release
from eca_mm.export.exported_part import ExportedPart, fold_batch_norm, kernel_sizes, load_part, random_images
from eca_mm.export.parity import max_difference, reference_outputs
from tests.support import REPOSITORY, quietly

ECA50 = REPOSITORY / 'configs/imagenet/eca_resnet50.py'
SHAPES = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_shapes.py'
SMALL = {'model.backbone.depth': 18, 'model.head.in_channels': 512}
SMALL_DETECTOR = {'model.backbone.depth': 18, 'model.neck.in_channels': [64, 128, 256, 512]}
SMALL_OPTIONS = ['--cfg-options', 'model.backbone.depth=18', 'model.head.in_channels=512']
# In the smallest sets of operators: ONNX since opset 1, but for the forms of their arguments.
COMMON = {'Add', 'Conv', 'Gather', 'Gemm', 'MaxPool', 'Mul', 'ReduceMean', 'Relu', 'Reshape', 'Sigmoid', 'Unsqueeze'}


@pytest.fixture(scope='module')
def classifier():
    return load_config(ECA50, cfg_options=SMALL)


@pytest.fixture(scope='module')
def detector():
    return load_config(SHAPES, cfg_options=SMALL_DETECTOR)


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """Config files of the two: a release describes a file."""
    folder = tmp_path_factory.mktemp('small')
    for base, options in ((ECA50, SMALL), (SHAPES, SMALL_DETECTOR)):
        config = Config()
        config.merge_from_dict(options)
        (folder / base.name).write_text(f'_base_ = {str(base)!r}\n{config.pretty_text}')
    return folder


@pytest.fixture(scope='module')
def checkpoint(classifier, tmp_path_factory):
    """As a training leaves it, with statistics of BN that are not those of a new network."""
    model = learnt(load_model(classifier, None, 'none'))
    meta = dict(
        epoch=7,
        iter=70,
        cfg=f'data_root = {str(REPOSITORY)!r}',
        dataset_meta=dict(classes=('cat', 'dog'), palette=[(1, 2, 3)]),
        mmengine_version='0.10.12',
        hook_msgs=dict(score=np.float64(0.5)),
    )
    file = tmp_path_factory.mktemp('work') / 'epoch_7.pth'
    momentum = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}
    history = {'train/loss': HistoryBuffer([1.0], [1])}
    content = dict(meta=meta, state_dict=model.state_dict(), optimizer=momentum, message_hub=dict(log_scalars=history))
    torch.save(content, file)
    return file


def learnt(network):
    """Gives every batch norm statistics and weights of its own."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for tensor in (layer.weight, layer.running_var):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
                for tensor in (layer.bias, layer.running_mean):
                    tensor.copy_(torch.randn(tensor.shape, generator=generator) / 4)
    return network


def settings(**changes):
    return ExportSettings(**{'size': (64, 64), 'rounds': 0, **changes})


@pytest.mark.parametrize('part', ['model', 'backbone'])
@pytest.mark.parametrize('name', ['eca_resnet50', 'se_resnet50', 'eca_mobilenet_v2'])
def test_folding_changes_nothing(name, part):
    """In float64, where rounding hides no error."""
    network, _ = load_part(load_config(ECA50.with_name(f'{name}.py')), 'none', part)
    network = learnt(network).double()
    folded = fold_batch_norm(network)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    images = torch.randn(2, 3, 65, 47, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for expected, got in zip(network(images), folded(images), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


class TestOnnx:
    @pytest.fixture(scope='class')
    def exported(self, classifier, checkpoint, tmp_path_factory):
        file = tmp_path_factory.mktemp('onnx') / 'deep/eca.onnx'
        return export(classifier, str(checkpoint), file, settings(dynamic=True))

    def test_operators(self, exported):
        onnx = pytest.importorskip('onnx')
        model = onnx.load(exported.file)
        operators = Counter(node.op_type for node in model.graph.node)
        assert set(operators) <= COMMON
        assert {node.domain for node in model.graph.node} == {''} and not model.functions
        assert [(o.domain, o.version) for o in model.opset_import] == [('', 18)]
        # ResNet-18: 20 convolutions, each with its batch norm in it, and 8 blocks with ECA.
        assert operators['Conv'] == 20 + 8 and operators['Sigmoid'] == operators['Mul'] == 8
        assert operators['ReduceMean'] == 8 + 1
        onnx.checker.check_model(model, full_check=True)

    def test_other_batches_and_sizes(self, exported, classifier, checkpoint):
        runtime = pytest.importorskip('onnxruntime')
        session = runtime.InferenceSession(exported.file, providers=['CPUExecutionProvider'])
        network, _ = load_part(classifier, str(checkpoint), 'model')
        for shape in ((1, 3, 33, 40), (3, 3, 97, 65)):
            images = torch.randn(shape)
            (got,) = session.run(['logits'], {'images': images.numpy()})
            np.testing.assert_allclose(got, network(images)[0].numpy(), atol=1e-5)
        assert session.get_inputs()[0].shape == ['batch', 3, 'height', 'width']

    def test_metadata(self, exported):
        runtime = pytest.importorskip('onnxruntime')
        session = runtime.InferenceSession(exported.file, providers=['CPUExecutionProvider'])
        metadata = session.get_modelmeta().custom_metadata_map
        assert metadata['config'] == 'configs/imagenet/eca_resnet50.py' and metadata['part'] == 'model'
        assert json.loads(metadata['mean']) == [123.675, 116.28, 103.53] and metadata['channels'] == 'RGB'
        assert json.loads(metadata['std']) == [58.395, 57.12, 57.375]
        assert json.loads(metadata['kernel_size']) == [3, 5, 5, 7] and json.loads(metadata['classes']) == 1000
        assert metadata['weights'] == 'epoch_7.pth'

    def test_report(self, exported):
        assert exported.outputs == {'logits': (1, 1000)} and exported.speed is None
        assert [d.shape for d in exported.differences] == [(1, 3, 64, 64), (2, 3, 97, 81)]
        assert all(0 < d.largest < 1e-5 < d.magnitude and d.output == 'logits' for d in exported.differences)
        assert 'max difference from PyTorch: ' in str(exported) and 'in logits, ' in str(exported)
        assert 'batch and size are free, from 33 x 33 pixels on' in str(exported)


def test_eca_ns_is_standard_onnx_too(tmp_path):
    onnx = pytest.importorskip('onnx')
    backbone = dict(_delete_=True, type='eca_mm.AttentionResNet', depth=18, attention=dict(type='eca_mm.ECANSLayer'))
    options = {'model.backbone': backbone, 'model.head.in_channels': 512}
    cfg = load_config(ECA50.with_name('resnet50.py'), cfg_options=options)
    export(cfg, 'none', tmp_path / 'x.onnx', settings())
    graph = onnx.load(tmp_path / 'x.onnx').graph
    assert {node.op_type for node in graph.node} <= {*COMMON, 'Pad'} and {node.domain for node in graph.node} == {''}


@pytest.mark.parametrize('suffix', ['.pt2', '.ts'])
def test_torch_formats(classifier, checkpoint, tmp_path, suffix):
    options = settings(part='backbone', dynamic=True, rounds=2)
    cfg = copy.deepcopy(classifier)
    cfg.model.backbone.out_indices = (1, 3)
    report = export(cfg, str(checkpoint), tmp_path / f'x{suffix}', options)
    assert report.outputs == {'stage_1': (1, 128, 8, 8), 'stage_3': (1, 512, 2, 2)}
    assert max(d.largest for d in report.differences) < 1e-4 and len(report.differences) == 2
    assert report.speed.ratio > 0 and "x PyTorch's" in str(report)
    extra = {'metadata.json': ''}
    if suffix == '.pt2':
        program = torch.export.load(report.file, extra_files=extra)
        assert not [key for key in program.state_dict if 'head' in key or 'running_mean' in key]
    else:
        torch.jit.load(report.file, _extra_files=extra)
    assert json.loads(extra['metadata.json'])['kernel_size'] == '[3, 5, 5, 7]'


def test_random_weights_are_a_test_too(classifier, tmp_path):
    """The logits depend on the images, not on the last layer's bias alone, and are the same each time."""
    (first, _), (second, _) = (load_part(classifier, 'none', 'model') for _ in range(2))
    images = torch.randn(4, 3, 64, 64)
    (logits,) = first(images)
    assert logits.std(0).mean() > 0.05 and logits.equal(second(images)[0])


def test_pooled_features(classifier, checkpoint, tmp_path):
    report = export(classifier, str(checkpoint), tmp_path / 'x.pt', settings(part='features', batch=3))
    assert report.outputs == {'feature_0': (3, 512)}


class TestParity:
    SHAPE = (1, 3, 64, 64)

    @pytest.fixture(scope='class')
    def expected(self, detector):
        network, _ = load_part(detector, 'none', 'dense')
        with torch.no_grad():
            for level in network.head.rpn_reg.parameters():
                level.mul_(1e-3)  # as of a new head: boxes up to 0.01 beside features up to 40
        return reference_outputs(network, self.SHAPE)

    @pytest.mark.parametrize('name', ['feature_0', 'cls_0', 'bbox_3'])
    def test_every_output_is_held_to_its_own_values(self, expected, name):
        """One number in one output is off, by a part of that output's greatest value."""
        wrong = {key: tensor.clone() for key, tensor in expected.items()}
        greatest = expected[name].abs().max().item()
        wrong[name].view(-1)[5] += 2e-4 * greatest
        found = max_difference(expected, lambda images: [*wrong.values()], self.SHAPE)
        assert found.output == name and found.relative == pytest.approx(2e-4, rel=1e-2)
        assert found.largest == pytest.approx(2e-4 * greatest, rel=1e-2) and f'in {name}, 2.0e-04 of' in str(found)
        assert expected['bbox_3'].abs().max() < 0.02 < 1 < expected['feature_0'].abs().max()

    def test_nan_and_other_shapes(self, expected):
        outputs = [*expected.values()]
        for wrong in (outputs[-1] * float('nan'), outputs[-1][..., 1:]):
            found = max_difference(expected, lambda images, wrong=wrong: [*outputs[:-1], wrong], self.SHAPE)
            assert found.output == 'bbox_3' and found.largest == found.relative == float('inf')

    def test_a_small_output_that_is_wrong_is_not_exported(self, detector, tmp_path, monkeypatch):
        """By 8 %, which is 1e-5 here, beside features of 5."""
        model = learnt(load_model(detector, None, 'none'))
        model.rpn_head.rpn_reg.weight.data *= 1e-3
        torch.save(model.state_dict(), tmp_path / 'x.pth')
        forward = ExportedPart.forward

        def wrong(self, images):
            *others, last = forward(self, images)
            return *others, last * 1.08

        monkeypatch.setattr(ExportedPart, 'forward', wrong)
        with pytest.raises(ValueError, match=r'differs from PyTorch by .* in bbox_3, 8\.0e-02 of its greatest value'):
            export(detector, str(tmp_path / 'x.pth'), tmp_path / 'x.ts', settings(part='dense'))
        assert [f.name for f in tmp_path.iterdir()] == ['x.pth']

    @pytest.mark.parametrize('bias', [0, 1])
    def test_dead_weights(self, classifier, tmp_path, bias):
        """Any two networks agree whose outputs are 0, or a bias."""
        weights = {key: value * 0 for key, value in load_model(classifier, None, 'none').state_dict().items()}
        weights['head.fc.bias'] += bias
        torch.save(weights, tmp_path / 'dead.pth')
        sentence = rf'output logits does not depend on the images \(values up to {bias}\.0e\+00\).*: choose'
        with pytest.raises(ValueError, match=sentence):
            export(classifier, str(tmp_path / 'dead.pth'), tmp_path / 'x.ts', settings())
        assert [f.name for f in tmp_path.iterdir()] == ['dead.pth']

    def test_overflow(self, classifier):
        network, _ = load_part(classifier, 'none', 'model')
        network.head.fc.weight.data.fill_(3e38)
        with pytest.raises(ValueError, match='output logits is not finite'):
            reference_outputs(network, self.SHAPE)


class TestDetector:
    def test_dense(self, detector, tmp_path):
        """Backbone, FPN and RPN, at an odd size too, equal to what mmdet's own methods return."""
        runtime = pytest.importorskip('onnxruntime')
        model = learnt(load_model(detector, None, 'none')).eval()
        torch.save(model.state_dict(), tmp_path / 'weights.pth')
        report = export(
            detector, str(tmp_path / 'weights.pth'), tmp_path / 'x.onnx', settings(part='dense', dynamic=True)
        )
        images = torch.randn(1, 3, 71, 90)
        with torch.no_grad():
            features = model.extract_feat(images)
            scores, boxes = model.rpn_head(features)
        session = runtime.InferenceSession(report.file, providers=['CPUExecutionProvider'])
        for expected, got in zip(
            (*features, *scores, *boxes), session.run(None, {'images': images.numpy()}), strict=True
        ):
            np.testing.assert_allclose(got, expected.numpy(), atol=1e-4)
        names = [f'{name}_{i}' for name in ('feature', 'cls', 'bbox') for i in range(4)]
        assert [output.name for output in session.get_outputs()] == names == list(report.outputs)
        assert session.get_modelmeta().custom_metadata_map['classes'] == '4'

    def test_features(self, detector, tmp_path):
        report = export(detector, 'none', tmp_path / 'x.ts', settings(part='features', dynamic=True))
        assert report.outputs == {f'feature_{i}': (1, 128, 16 >> i, 16 >> i) for i in range(4)}

    @pytest.mark.parametrize(
        ('config', 'part', 'stride'),
        [
            ('faster_rcnn_eca_r50_fpn_1x', 'backbone', 32),
            ('faster_rcnn_eca_r50_fpn_1x', 'features', 64),
            ('legacy/retinanet_eca_r50_fpn', 'dense', 128),
        ],
    )
    def test_free_size_needs_two_pixels_in_every_level(self, tmp_path, config, part, stride):
        cfg = load_config(REPOSITORY / f'configs/{config}.py')
        assert load_part(cfg, 'none', part)[0].stride() == stride
        too_small = settings(part=part, size=(stride, 200), dynamic=True)
        with pytest.raises(ValueError, match=f'have {stride + 1} x {stride + 1} pixels or more.*got {stride} x 200'):
            export(cfg, 'none', tmp_path / 'x.pt2', too_small)

    def test_the_least_free_size(self, tmp_path):
        """It is enough, and smaller images are refused by the program: the sentence that is spared the user."""
        cfg = load_config(REPOSITORY / 'configs/legacy/retinanet_eca_r50_fpn.py', cfg_options=SMALL_DETECTOR)
        report = export(cfg, 'none', tmp_path / 'x.pt2', settings(part='dense', size=(129, 129), dynamic=True))
        assert report.outputs['cls_4'][2:] == (2, 2) and report.least == 129
        program = torch.export.load(report.file).module()
        assert program(random_images((1, 3, 129, 140)))[0].shape[2:] == (17, 18)
        with pytest.raises(AssertionError, match='Guard failed'):
            program(random_images((1, 3, 128, 140)))

    def test_plugins_have_kernel_sizes_too(self):
        cfg = load_config(SHAPES)
        plugin = dict(cfg=dict(type='eca_mm.ECALayer'), stages=(True,) * 4, position='after_conv3')
        cfg.model.backbone = dict(type='mmdet.ResNet', depth=50, plugins=[plugin])
        assert kernel_sizes(load_model(cfg, None, 'none').backbone) == [5, 5, 5, 7]

    def test_the_whole_is_refused(self, refuse):
        sentence = refuse('export', SHAPES, 'none', 'x.onnx')
        assert 'is a detector' in sentence and '--part dense' in sentence and 'NMS' in sentence


class TestBadInput:
    @pytest.mark.parametrize(
        ('arguments', 'parts'),
        [
            (['x.onnx', '--size', '31', '224'], ['32 x 32', '31 x 224']),
            (['x.onnx', '--size', '32', '64', '--dynamic'], ['33 x 33']),
            (['x.onnx', '--batch', '0'], ['batch', '0']),
            (['x.onnx', '--tolerance', 'nan'], ['tolerance', 'nan']),
            (['x.onnx', '--tolerance', '1'], ['tolerance', 'less than 1', 'got 1.0']),
            (['x.onnx', '--rounds', '-1'], ['rounds', '-1']),
            (['x.onnx', '--format', 'tflite'], ['tflite', 'torchscript']),
            (['x.onnx', '--part', 'dense'], ['is a classifier', 'features']),
            (['x.tflite'], ['x.tflite', '.onnx', '--format']),
            (['.', '--format', 'onnx'], ['is a folder']),
            (['x', '--release', '--dynamic', '--batch', '7'], ['--release', 'leave out --batch, --dynamic']),
            (['x', '--release', '--format', 'onnx', '--part', 'backbone'], ['leave out --format, --part']),
            (['x', '--release', '--size', '64', '64', '--tolerance', '0.1', '--rounds', '0'], ['--size', '--rounds']),
            (['x', '--release', *SMALL_OPTIONS], ['--release', '--cfg-options']),
        ],
    )
    def test_wrong_options(self, refuse, tmp_path, arguments, parts):
        sentence = refuse('export', ECA50, 'none', *arguments)
        assert all(part in sentence for part in parts), sentence
        assert not any(tmp_path.iterdir())

    def test_wrong_checkpoints(self, refuse, checkpoint, small, tmp_path):
        assert 'checkpoint not found: x.pth' in refuse('export', ECA50, 'x.pth', 'x.pt2')
        broken = tmp_path / 'broken.pth'
        broken.write_bytes(checkpoint.read_bytes()[:10_000])
        for arguments in (['x.pt2'], ['folder', '--release']):
            assert 'broken.pth is ' in refuse('export', small / ECA50.name, broken, *arguments)
        sentence = refuse('export', ECA50, checkpoint, 'x.pt2')  # depth 50
        assert 'epoch_7.pth does not fit the config' in sentence and 'missing' in sentence
        content = torch.load(checkpoint, weights_only=False)
        content['state_dict']['head.fc.bias'][3] = float('nan')
        torch.save({'state_dict': content['state_dict']}, broken)
        assert 'has NaN or infinity in 1 weights: head.fc.bias' in refuse(
            'export', ECA50, broken, 'x.pt2', *SMALL_OPTIONS
        )
        assert [f.name for f in tmp_path.iterdir()] == ['broken.pth']

    def test_what_exists(self, refuse, tmp_path):
        (tmp_path / 'x.onnx').write_text('precious')
        assert '--force' in refuse('export', ECA50, 'none', 'x.onnx')
        arguments = [
            '--force',
            '--format',
            'torchscript',
            '--tolerance',
            '0',
            '--size',
            '32',
            '32',
            '--rounds',
            '0',
            *SMALL_OPTIONS,
        ]
        sentence = refuse('export', ECA50, 'none', 'x.onnx', *arguments)
        assert 'differs from PyTorch by' in sentence and 'tolerance 0: nothing is written' in sentence
        assert 'cannot be written' in refuse(
            'export', ECA50, 'none', 'x.onnx/y.pt2', '--size', '32', '32', '--rounds', '0', *SMALL_OPTIONS
        )
        sentence = refuse('export', ECA50, 'x.onnx', './x.onnx', '--force')
        assert 'x.onnx is the checkpoint itself' in sentence
        assert [f.read_text() for f in tmp_path.iterdir()] == ['precious']

    def test_packages_that_are_missing(self, refuse, monkeypatch):
        monkeypatch.setitem(sys.modules, 'onnxscript', None)
        sentence = refuse('export', ECA50, 'none', 'x.onnx')
        assert 'onnxscript does not import: pip install onnx onnxruntime onnxscript' in sentence

    def test_what_the_exporter_cannot_follow(self, classifier, tmp_path, monkeypatch):
        """A network that branches on its values."""
        relu = nn.ReLU.forward
        monkeypatch.setattr(nn.ReLU, 'forward', lambda self, x: relu(self, x) if x.sum() > 0 else x)
        with pytest.raises(ValueError, match=r'the export as torch\.export failed \(GuardOnData') as error:
            export(classifier, 'none', tmp_path / 'x.pt2', settings())
        assert '\n' not in str(error.value) and not any(tmp_path.iterdir())


class TestRelease:
    @pytest.fixture(scope='class')
    def config(self, small):
        return load_config(small / ECA50.name)

    def test_round_trip(self, config, checkpoint, tmp_path):
        made = release(config, str(checkpoint), tmp_path / 'new/folder')
        content = torch.load(made.weights, weights_only=True)
        original = torch.load(checkpoint, weights_only=False)
        assert set(content) == {'meta', 'state_dict'} and set(content['state_dict']) == set(original['state_dict'])
        assert all(value.equal(original['state_dict'][key]) for key, value in content['state_dict'].items())
        meta = content['meta']
        assert meta['dataset_meta'] == dict(classes=('cat', 'dog'), palette=[(1, 2, 3)]) and meta['epoch'] == 7
        assert meta['config'] == 'eca_resnet50.py' and not {'cfg', 'hook_msgs'} & set(meta)

        sha = hashlib.sha256(made.weights.read_bytes()).hexdigest()
        name, _, rest = made.weights.stem.rpartition('_')
        assert name == 'eca_resnet50' and rest[8:] == f'-{sha[:8]}' and rest[:8].isdigit()
        (entry,) = yaml.safe_load(made.entry_file.read_text())['Models']
        assert entry['Weights'] == made.weights.name and entry['Config'] == meta['config']
        assert entry['Metadata']['Epochs'] == 7 and entry['Metadata']['Training Data'] == 'ImageNet-1k'
        parameters = sum(p.numel() for p in load_model(config, content, 'the release').parameters())
        assert entry['Metadata']['Parameters'] == parameters
        assert 'Results' not in entry and 'no results: ' in str(made)
        assert sorted(f.name for f in made.weights.parent.iterdir()) == [made.weights.name, made.entry_file.name]
        with pytest.raises(FileExistsError, match='--force'):
            release(config, str(checkpoint), tmp_path / 'new/folder')

    def test_of_converted_weights(self, config, checkpoint, tmp_path):
        """Where they come from stays with them."""
        convert(str(checkpoint), tmp_path / 'converted.pth')
        made = release(config, str(tmp_path / 'converted.pth'), tmp_path)
        meta = torch.load(made.weights, weights_only=True)['meta']
        assert meta['source'] == 'mmpretrain' and meta['kernel_sizes'] == [3, 5, 5, 7] and 'eca_mm' in meta['tool']
        assert meta['source_sha256'] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()

    def test_what_no_tensor_tells_is_released_too(self, tmp_path):
        (tmp_path / 'caffe.py').write_text(f"_base_ = '{ECA50}'\nmodel = dict(backbone=dict(style='caffe'))\n")
        cfg = load_config(tmp_path / 'caffe.py')
        torch.save(load_model(cfg, None, 'none').state_dict(), tmp_path / 'weights.pth')
        made = release(cfg, str(tmp_path / 'weights.pth'), tmp_path)
        with pytest.raises(ValueError, match='caffe'):
            convert(str(made.weights), tmp_path / 'timm.pth', to='timm')

    def test_the_entry_names_a_config_of_the_repository(self, tmp_path):
        cfg = load_config(ECA50)
        torch.save(load_model(cfg, None, 'none').state_dict(), tmp_path / 'weights.pth')
        (entry,) = yaml.safe_load(release(cfg, str(tmp_path / 'weights.pth'), tmp_path).entry)['Models']
        assert entry['Config'] == 'configs/imagenet/eca_resnet50.py' and entry['Metadata']['Parameters'] == 25557112

    def test_meta_that_is_no_dictionary(self, config, checkpoint, tmp_path):
        content = torch.load(checkpoint, weights_only=False)
        torch.save(dict(content, meta=['epoch', 7]), tmp_path / 'x.pth')
        with pytest.raises(ValueError, match=r'x\.pth has a list for meta'):
            release(config, str(tmp_path / 'x.pth'), tmp_path)
        assert [f.name for f in tmp_path.iterdir()] == ['x.pth']

    @pytest.mark.parametrize(('images', 'dataset'), [(50_000, 'ImageNet-1k'), (80, '80 images of ImageNet-1k')])
    def test_results(self, config, checkpoint, tmp_path, images, dataset):
        same, metrics = tmp_path / 'epoch_7.pth', tmp_path / 'metrics.json'
        same.write_bytes(checkpoint.read_bytes())
        measured = dict(checkpoint='elsewhere/epoch_7.pth', images=images, metrics={'accuracy/top1': 77.484})
        metrics.write_text(json.dumps(measured))
        entry = yaml.safe_load(release(config, str(same), tmp_path).entry)['Models'][0]
        task = dict(Task='Image Classification', Dataset=dataset, Metrics={'Top 1 Accuracy': 77.48})
        assert entry['Results'] == [task]
        os.utime(metrics, (0, 0))
        assert 'older' in release(config, str(same), tmp_path, force=True).remark
        metrics.write_text(json.dumps(dict(measured, checkpoint='epoch_6.pth')))
        assert 'those of epoch_6.pth' in release(config, str(same), tmp_path, force=True).remark
        metrics.write_text(json.dumps(dict(measured, metrics={'accuracy/top1': -1, 'accuracy/top5': float('nan')})))
        assert 'none of the metrics' in release(config, str(same), tmp_path, force=True).remark
        for wrong in ({}, dict(measured, metrics={'accuracy/top1': [77]}), dict(measured, metrics=[77])):
            metrics.write_text(json.dumps(wrong))
            with pytest.raises(ValueError, match='not what tools/test.py writes'):
                release(config, str(same), tmp_path, force=True)

    def test_the_tools_take_it(self, detector, small, shapes_root, tmp_path, monkeypatch, capsys):
        """tools/export.py writes it, and what tools/test.py calls reads it."""
        model = load_model(detector, None, 'none')
        torch.save(dict(state_dict=model.state_dict(), optimizer={}, meta=dict(epoch=3)), tmp_path / 'epoch_3.pth')
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(REPOSITORY / 'tools')
        monkeypatch.setattr('sys.argv', ['export', str(small / SHAPES.name), 'epoch_3.pth', 'released', '--release'])
        quietly(REPOSITORY / 'tools/export.py')
        screen = capsys.readouterr().out
        assert 'In Collection: ECA-Net' in screen and 'Training Data: shapes' in screen

        (file,) = (tmp_path / 'released').glob('*.pth')
        cfg = load_config(
            SHAPES, cfg_options={**SMALL_DETECTOR, 'test_dataloader.dataset.indices': 2}, data_root=str(shapes_root)
        )
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # mmengine's, of its global objects
            evaluate(cfg, str(file))
        with pytest.raises(ValueError, match='does not fit the config'):
            load_model(load_config(SHAPES), torch.load(file, weights_only=True), 'the release')

    def test_a_file_is_no_folder(self, refuse, checkpoint, small, tmp_path):
        (tmp_path / 'x').touch()
        assert 'is a file' in refuse('export', small / ECA50.name, checkpoint, 'x', '--release')
