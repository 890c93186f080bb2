"""Exported files, in each format, against PyTorch."""

import copy
import json
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from eca_mm.engine import load_config
from eca_mm.engine.model import load_model
from eca_mm.export import ExportSettings, export
from eca_mm.export.exported_part import load_part, random_images
from tests.support import REPOSITORY, randomize

ECA50 = REPOSITORY / 'configs/imagenet/eca_resnet50.py'
# In the smallest sets of operators: ONNX since opset 1, but for the forms of their arguments.
COMMON = {'Add', 'Conv', 'Gather', 'Gemm', 'MaxPool', 'Mul', 'ReduceMean', 'Relu', 'Reshape', 'Sigmoid', 'Unsqueeze'}


def settings(**changes):
    return ExportSettings(**{'size': (64, 64), 'rounds': 0, **changes})


class TestOnnx:
    @pytest.fixture(scope='class')
    def exported(self, classifier, checkpoint, tmp_path_factory):
        file = tmp_path_factory.mktemp('onnx') / 'deep/eca.onnx'
        return export(classifier, str(checkpoint), file, settings(dynamic=True))

    @pytest.fixture(scope='class')
    def session(self, exported):
        runtime = pytest.importorskip('onnxruntime')
        return runtime.InferenceSession(exported.file, providers=['CPUExecutionProvider'])

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

    def test_other_batches_and_sizes(self, session, classifier, checkpoint):
        network, _ = load_part(classifier, str(checkpoint), 'model')
        for shape in ((1, 3, 33, 40), (3, 3, 97, 65)):
            images = torch.randn(shape)
            (got,) = session.run(['logits'], {'images': images.numpy()})
            np.testing.assert_allclose(got, network(images)[0].numpy(), rtol=1e-4, atol=1e-4)
        assert session.get_inputs()[0].shape == ['batch', 3, 'height', 'width']

    def test_metadata(self, session):
        metadata = session.get_modelmeta().custom_metadata_map
        assert metadata['config'] == 'classifier.py' and metadata['part'] == 'model'
        assert json.loads(metadata['mean']) == [123.675, 116.28, 103.53] and metadata['channels'] == 'RGB'
        assert json.loads(metadata['std']) == [58.395, 57.12, 57.375]
        assert json.loads(metadata['kernel_size']) == [3, 5, 5, 7] and json.loads(metadata['classes']) == 1000
        assert metadata['weights'] == 'epoch_7.pth'

    def test_report(self, exported):
        assert exported.outputs == {'logits': (1, 1000)} and exported.speed is None
        assert [d.shape for d in exported.differences] == [(1, 3, 64, 64), (2, 3, 97, 81)]
        assert all(0 < d.relative < 1e-5 and d.output == 'logits' for d in exported.differences)
        assert 'max difference from PyTorch: ' in str(exported) and 'in logits, ' in str(exported)
        assert 'batch and size are free, from 33 x 33 pixels on' in str(exported)


def test_eca_ns_is_standard_onnx_too(tmp_path):
    onnx = pytest.importorskip('onnx')
    backbone = dict(_delete_=True, type='eca_mm.AttentionResNet', depth=18, attention=dict(type='eca_mm.ECANSLayer'))
    backbone |= dict(num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,))
    cfg = load_config(ECA50.with_name('resnet50.py'), cfg_options={'model.backbone': backbone})
    export(cfg, 'none', tmp_path / 'x.onnx', settings(part='backbone'))
    graph = onnx.load(tmp_path / 'x.onnx').graph
    assert {node.op_type for node in graph.node} <= {*COMMON, 'Pad'} and {node.domain for node in graph.node} == {''}


def test_torchscript(classifier, checkpoint, tmp_path):
    report = export(classifier, str(checkpoint), tmp_path / 'x.ts', settings(dynamic=True, rounds=2))
    assert report.outputs == {'logits': (1, 1000)} and len(report.differences) == 2
    assert report.speed.ratio > 0 and "x PyTorch's" in str(report)
    extra = {'metadata.json': ''}
    torch.jit.load(report.file, _extra_files=extra)
    assert json.loads(extra['metadata.json'])['kernel_size'] == '[3, 5, 5, 7]'


def test_torch_export(classifier, checkpoint, tmp_path):
    """From the least free size on: the program refuses smaller images, and the user is told so in a sentence."""
    cfg = copy.deepcopy(classifier)
    cfg.model.backbone.out_indices = (1, 3)
    report = export(cfg, str(checkpoint), tmp_path / 'x.pt2', settings(part='backbone', size=(33, 33), dynamic=True))
    assert report.outputs == {'stage_1': (1, 128, 5, 5), 'stage_3': (1, 512, 2, 2)} and report.least == 33
    assert [d.shape for d in report.differences] == [(1, 3, 33, 33), (2, 3, 66, 50)]
    extra = {'metadata.json': ''}
    exported = torch.export.load(report.file, extra_files=extra)
    assert json.loads(extra['metadata.json'])['kernel_size'] == '[3, 5, 5, 7]'
    assert not [key for key in exported.state_dict if 'head' in key or 'running_mean' in key]
    program = exported.module()
    assert program(random_images((1, 3, 33, 140)))[1].shape[2:] == (2, 5)
    with pytest.raises(AssertionError, match='Guard failed'):
        program(random_images((1, 3, 32, 140)))


def test_pooled_features(classifier, checkpoint, tmp_path):
    report = export(classifier, str(checkpoint), tmp_path / 'x.pt', settings(part='features', batch=3))
    assert report.outputs == {'feature_0': (3, 512)}


class TestDetector:
    def test_dense(self, detector, tmp_path):
        """Backbone, FPN and RPN, at an odd size too, equal to what mmdet's own methods return."""
        runtime = pytest.importorskip('onnxruntime')
        cfg = copy.deepcopy(detector)
        stages = dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(0, 1), kernel_size=(3, 5))
        cfg.model.backbone.update(stages)  # half of them in half the time
        cfg.model.neck.in_channels = [64, 128]
        model = randomize(load_model(cfg, None, 'none')).eval()
        torch.save(model.state_dict(), tmp_path / 'weights.pth')
        report = export(cfg, str(tmp_path / 'weights.pth'), tmp_path / 'x.onnx', settings(part='dense', dynamic=True))
        images = torch.randn(1, 3, 71, 90)
        with torch.no_grad():
            features = model.extract_feat(images)
            scores, boxes = model.rpn_head(features)
        session = runtime.InferenceSession(report.file, providers=['CPUExecutionProvider'])
        for expected, got in zip(
            (*features, *scores, *boxes), session.run(None, {'images': images.numpy()}), strict=True
        ):
            np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-4 * expected.abs().max())
        names = [f'{name}_{i}' for name in ('feature', 'cls', 'bbox') for i in range(4)]
        assert [output.name for output in session.get_outputs()] == names == list(report.outputs)
        assert session.get_modelmeta().custom_metadata_map['classes'] == '4'

    def test_the_whole_is_refused(self, detector, tmp_path):
        with pytest.raises(ValueError, match=r'is a detector.*NMS.*--part dense'):
            export(detector, 'none', tmp_path / 'x.onnx', settings())


class TestBadInput:
    @pytest.mark.parametrize(
        ('changes', 'sentence'),
        [
            (dict(size=(31, 224)), '32 x 32 pixels or more, got 31 x 224'),
            (dict(batch=0), 'batch must be at least 1, got 0'),
            (dict(tolerance=float('nan')), 'tolerance is .*, got nan'),
            (dict(tolerance=1.0), 'tolerance is .* to less than 1, got 1.0'),
            (dict(rounds=-1), 'rounds must be at least 0, got -1'),
            (dict(part='nose'), "unknown part 'nose': choose from model, backbone"),
            (dict(format='tflite'), "unknown format 'tflite': choose from onnx, torch.export, torchscript"),
            (dict(part='dense'), 'is a classifier without a dense head: .* features'),
            (dict(size=(32, 64), dynamic=True), '33 x 33 pixels or more.* got 32 x 64'),
        ],
    )
    def test_wrong_settings(self, classifier, tmp_path, changes, sentence):
        with pytest.raises(ValueError, match=sentence):
            export(classifier, 'none', tmp_path / 'x.onnx', settings(**changes))
        assert not any(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ('arguments', 'sentence'),
        [
            (['--batch', '0'], 'batch must be at least 1, got 0'),
            (['--format', 'tflite'], "unknown format 'tflite': choose from onnx"),
            (['--release', '--dynamic', '--batch', '7', '--part', 'dense'], 'leave out --part, --batch, --dynamic'),
            (
                ['--release', '--size', '64', '64', '--tolerance', '0.1', '--rounds', '0'],
                '--size, --tolerance, --rounds',
            ),
            (['--release', '--format', 'onnx'], '--release does not export a network: leave out --format'),
            (
                ['--release', '--cfg-options', 'model.backbone.depth=18'],
                'write a file with the changes of --cfg-options',
            ),
        ],
    )
    def test_wrong_options(self, refuse, tmp_path, arguments, sentence):
        assert sentence in refuse('export', ECA50, 'none', 'x.onnx', *arguments)
        assert not any(tmp_path.iterdir())

    def test_wrong_files(self, classifier, tmp_path):
        with pytest.raises(ValueError, match=r'x\.tflite has none of the suffixes \.onnx, .* by --format'):
            export(classifier, 'none', tmp_path / 'x.tflite', settings())
        with pytest.raises(ValueError, match='is a folder'):
            export(classifier, 'none', tmp_path, settings(format='onnx'))

    def test_wrong_checkpoints(self, refuse, checkpoint, small, tmp_path):
        assert 'checkpoint not found: x.pth' in refuse('export', ECA50, 'x.pth', 'x.pt2')
        broken = tmp_path / 'broken.pth'
        broken.write_bytes(checkpoint.read_bytes()[:10_000])
        for arguments in (['x.pt2'], ['folder', '--release']):
            assert 'broken.pth is ' in refuse('export', small / 'classifier.py', broken, *arguments)
        sentence = refuse('export', ECA50, checkpoint, 'x.pt2')  # depth 50
        assert 'epoch_7.pth does not fit the config' in sentence and 'missing' in sentence
        content = torch.load(checkpoint, weights_only=False)
        content['state_dict']['head.fc.bias'][3] = float('nan')
        torch.save({'state_dict': content['state_dict']}, broken)
        sentence = refuse('export', small / 'classifier.py', broken, 'x.pt2')
        assert 'has NaN or infinity in 1 weights: head.fc.bias' in sentence
        assert [f.name for f in tmp_path.iterdir()] == ['broken.pth']

    def test_what_exists(self, classifier, tmp_path):
        file = tmp_path / 'x.ts'
        file.write_text('precious')
        with pytest.raises(FileExistsError, match='--force'):
            export(classifier, 'none', file, settings())
        with pytest.raises(ValueError, match=r'differs from PyTorch by .* tolerance 0: nothing is written'):
            export(classifier, 'none', file, settings(tolerance=0, force=True))
        with pytest.raises(ValueError, match=r'x\.ts cannot be made a folder'):
            export(classifier, 'none', file / 'y.pt2', settings())
        with pytest.raises(ValueError, match=r'x\.ts is the checkpoint itself'):
            export(classifier, str(file), tmp_path / '../' / tmp_path.name / 'x.ts', settings(force=True))
        assert [f.read_text() for f in tmp_path.iterdir()] == ['precious']

    def test_packages_that_are_missing(self, classifier, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, 'onnxscript', None)
        with pytest.raises(ValueError, match='onnxscript does not import: pip install onnx onnxruntime onnxscript'):
            export(classifier, 'none', tmp_path / 'x.onnx', settings())

    def test_what_the_exporter_cannot_follow(self, classifier, tmp_path, monkeypatch):
        """A network that branches on its values."""
        relu = nn.ReLU.forward
        monkeypatch.setattr(nn.ReLU, 'forward', lambda self, x: relu(self, x) if x.sum() > 0 else x)
        with pytest.raises(ValueError, match=r'the export as torch\.export failed \(GuardOnData') as error:
            export(classifier, 'none', tmp_path / 'x.pt2', settings())
        assert '\n' not in str(error.value) and not any(tmp_path.iterdir())
