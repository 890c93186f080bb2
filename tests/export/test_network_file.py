"""Exported files, in each format, against PyTorch."""

import json
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from eca_mm.engine import load_config
from eca_mm.engine.model import model_of
from eca_mm.export import export
from eca_mm.export.exported_part import load_part, random_images
from tests.support import REPOSITORY, randomize

ECA50 = REPOSITORY / 'configs/imagenet/eca_resnet50.py'
# In the smallest sets of operators: ONNX since opset 1, but for the forms of their arguments.
COMMON = {'Add', 'Conv', 'Gather', 'Gemm', 'MaxPool', 'Mul', 'ReduceMean', 'Relu', 'Reshape', 'Sigmoid', 'Unsqueeze'}
QUICK = dict(size=(64, 64), rounds=0)


def test_onnx(classifier, checkpoint, tmp_path):
    """With free batch and size."""
    onnx, runtime = pytest.importorskip('onnx'), pytest.importorskip('onnxruntime')
    report = export(classifier, str(checkpoint), tmp_path / 'deep/eca.onnx', **QUICK, dynamic=True)
    assert report.outputs == {'logits': (1, 1000)} and report.speed is None
    assert [d.shape for d in report.differences] == [(1, 3, 64, 64), (2, 3, 97, 81)]
    assert all(0 < d.relative < 1e-5 and d.output == 'logits' for d in report.differences)
    assert 'max difference from PyTorch: ' in str(report) and 'in logits, ' in str(report)
    assert 'batch and size are free, from 33 x 33 pixels on' in str(report)

    model = onnx.load(report.file)
    operators = Counter(node.op_type for node in model.graph.node)
    assert set(operators) <= COMMON
    assert {node.domain for node in model.graph.node} == {''} and not model.functions
    assert [(o.domain, o.version) for o in model.opset_import] == [('', 18)]
    # ResNet-18: 20 convolutions, each with its batch norm in it, and 8 blocks with ECA.
    assert operators['Conv'] == 20 + 8 and operators['Sigmoid'] == operators['Mul'] == 8
    assert operators['ReduceMean'] == 8 + 1
    onnx.checker.check_model(model, full_check=True)

    session = runtime.InferenceSession(report.file, providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape == ['batch', 3, 'height', 'width']
    network, _ = load_part(classifier, str(checkpoint), 'model')
    for shape in ((1, 3, 33, 40), (3, 3, 97, 65)):
        images = random_images(shape)
        (got,) = session.run(['logits'], {'images': images.numpy()})
        np.testing.assert_allclose(got, network(images)[0].numpy(), rtol=1e-4, atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata['config'] == 'classifier.py' and metadata['part'] == 'model'
    assert json.loads(metadata['mean']) == [123.675, 116.28, 103.53] and metadata['channels'] == 'RGB'
    assert json.loads(metadata['std']) == [58.395, 57.12, 57.375]
    assert json.loads(metadata['kernel_size']) == [3, 5, 5, 7] and json.loads(metadata['classes']) == 1000
    assert metadata['weights'] == 'epoch_7.pth'


def test_onnx_of_a_detector(detector, tmp_path):
    """Backbone with ECA-NS, FPN and RPN equal what mmdet's own methods return; an odd size, in standard operators."""
    onnx, runtime = pytest.importorskip('onnx'), pytest.importorskip('onnxruntime')
    stages = dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(0, 1))  # half of them in half the time
    detector.model.backbone = dict(
        type='eca_mm.AttentionResNet', depth=18, attention=dict(type='eca_mm.ECANSLayer'), **stages
    )
    detector.model.neck.in_channels = [64, 128]
    model = randomize(model_of(detector, None, 'none')).eval()
    torch.save(model.state_dict(), tmp_path / 'x.pth')
    report = export(detector, str(tmp_path / 'x.pth'), tmp_path / 'x.onnx', part='dense', size=(71, 90), rounds=0)
    graph = onnx.load(report.file).graph
    assert {node.op_type for node in graph.node} <= {*COMMON, 'Pad', 'Resize'}
    assert {node.domain for node in graph.node} == {''}
    images = torch.randn(1, 3, 71, 90)
    with torch.no_grad():
        features = model.extract_feat(images)
        scores, boxes = model.rpn_head(features)
    session = runtime.InferenceSession(report.file, providers=['CPUExecutionProvider'])
    outputs = session.run(None, {'images': images.numpy()})
    for expected, got in zip((*features, *scores, *boxes), outputs, strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-4 * expected.abs().max())
    names = [f'{name}_{i}' for name in ('feature', 'cls', 'bbox') for i in range(4)]
    assert [output.name for output in session.get_outputs()] == names == list(report.outputs)
    assert session.get_modelmeta().custom_metadata_map['classes'] == '4'


def test_torch_export(tmp_path):
    """From the least free size on: the program refuses smaller images, and the user is told so in a sentence."""
    options = {'model.backbone.depth': 18, 'model.neck.in_channels': [64, 128, 256, 512]}
    cfg = load_config(REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py', cfg_options=options)
    arguments = dict(part='features', rounds=0, dynamic=True)
    with pytest.raises(ValueError, match='65 x 65 pixels or more.* stride is 64, got 64 x 200'):
        export(cfg, 'none', tmp_path / 'x.pt2', size=(64, 200), **arguments)
    report = export(cfg, 'none', tmp_path / 'x.pt2', size=(65, 65), **arguments)
    assert report.outputs['feature_4'][2:] == (2, 2) and report.least == 65
    assert [d.shape for d in report.differences] == [(1, 3, 65, 65), (2, 3, 98, 82)]
    extra = {'metadata.json': ''}
    exported = torch.export.load(report.file, extra_files=extra)
    metadata = json.loads(extra['metadata.json'])
    assert metadata['kernel_size'] == '[3, 5, 5, 7]' and metadata['config'] == 'configs/faster_rcnn_eca_r50_fpn_1x.py'
    assert not [key for key in exported.state_dict if 'head' in key or 'running_mean' in key]
    program = exported.module()
    assert program(random_images((1, 3, 65, 140)))[0].shape[2:] == (17, 35)
    with pytest.raises(AssertionError, match='Guard failed'):
        program(random_images((1, 3, 64, 140)))


def test_torchscript(classifier, checkpoint, tmp_path):
    classifier.model.backbone.out_indices = (1, 3)
    arguments = dict(part='backbone', size=(64, 64), dynamic=True, rounds=2)
    report = export(classifier, str(checkpoint), tmp_path / 'x.ts', **arguments)
    assert report.outputs == {'stage_1': (1, 128, 8, 8), 'stage_3': (1, 512, 2, 2)} and len(report.differences) == 2
    assert "x PyTorch's: " in report.speed and f'speed: {report.speed}' in str(report)
    extra = {'metadata.json': ''}
    torch.jit.load(report.file, _extra_files=extra)
    assert json.loads(extra['metadata.json'])['kernel_size'] == '[3, 5, 5, 7]'


def test_the_network_is_left_as_it_was(classifier, tmp_path, monkeypatch):
    """With which the file is timed: its batch norms are where they were."""
    timed = []
    monkeypatch.setattr('eca_mm.export.network_file.measure_speed', lambda network, *_: timed.append(network))
    export(classifier, 'none', tmp_path / 'x.ts', size=(64, 64))
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in timed[0].modules()) == 20


class TestRefuses:
    @pytest.mark.parametrize(('changes', 'sentence'), [
        (dict(size=(31, 224)), '32 x 32 pixels or more, got 31 x 224'),
        (dict(size=(32, 64), dynamic=True), '33 x 33 pixels or more.* got 32 x 64'),
        (dict(batch=0), 'batch must be at least 1, got 0'),
        (dict(rounds=-1), 'rounds must be at least 0, got -1'),
        (dict(tolerance=float('nan')), 'tolerance is .*, got nan'),
        (dict(tolerance=1.0), 'tolerance is .* to less than 1, got 1.0'),
        (dict(part='nose'), "unknown part 'nose': choose from model, backbone"),
        (dict(part='dense'), 'is a classifier without a dense head: .* features'),
    ])  # fmt: skip
    def test_wrong_arguments(self, classifier, tmp_path, changes, sentence):
        with pytest.raises(ValueError, match=sentence):
            export(classifier, 'none', tmp_path / 'x.onnx', **QUICK | changes)
        assert not any(tmp_path.iterdir())

    @pytest.mark.parametrize(('options', 'sentence'), [
        ('--batch 0', 'batch must be at least 1, got 0'),
        (
            '--release --part dense --size 64 64 --batch 7 --dynamic --tolerance 0 --rounds 0',
            'leave out --part, --size, --batch, --dynamic, --tolerance, --rounds',
        ),
        ('--release --cfg-options model.backbone.depth=18', 'write a file with the changes of --cfg-options'),
    ])  # fmt: skip
    def test_wrong_options(self, refuse, tmp_path, options, sentence):
        assert sentence in refuse('export', ECA50, 'none', 'x.onnx', *options.split())
        assert not any(tmp_path.iterdir())

    def test_what_cannot_be(self, classifier, detector, tmp_path):
        with pytest.raises(ValueError, match=r'is a detector.*part detector'):
            export(detector, 'none', tmp_path / 'x.onnx', part='model')
        with pytest.raises(ValueError, match=r'x\.tflite has none of the suffixes \.onnx, .*: rename it'):
            export(classifier, 'none', tmp_path / 'x.tflite')
        (tmp_path / 'x.onnx').mkdir()
        with pytest.raises(ValueError, match='is a folder'):
            export(classifier, 'none', tmp_path / 'x.onnx')

    def test_wrong_checkpoints(self, classifier, checkpoint, tmp_path):
        broken = tmp_path / 'broken.pth'
        broken.write_bytes(checkpoint.read_bytes()[:10_000])
        with pytest.raises(ValueError, match=r'broken\.pth is '):
            export(classifier, str(broken), tmp_path / 'x.pt2')
        weights = torch.load(checkpoint, weights_only=False)['state_dict']
        weights['head.fc.bias'][3] = float('nan')
        torch.save(weights, broken)
        with pytest.raises(ValueError, match='has NaN or infinity in 1 weights: head.fc.bias'):
            export(classifier, str(broken), tmp_path / 'x.pt2')
        assert [f.name for f in tmp_path.iterdir()] == ['broken.pth']

    def test_what_exists(self, classifier, tmp_path):
        file = tmp_path / 'x.ts'
        file.write_text('precious')
        with pytest.raises(FileExistsError, match='force=True'):
            export(classifier, 'none', file)
        with pytest.raises(ValueError, match=r'differs from PyTorch by .* tolerance 0: nothing is written'):
            export(classifier, 'none', file, **QUICK, tolerance=0, force=True)
        with pytest.raises(ValueError, match=r'x\.ts cannot be made a folder'):
            export(classifier, 'none', file / 'y.pt2')
        with pytest.raises(ValueError, match=r'x\.ts is the checkpoint itself'):
            export(classifier, str(file), tmp_path / '../' / tmp_path.name / 'x.ts', force=True)
        assert [f.read_text() for f in tmp_path.iterdir()] == ['precious']

    def test_packages_that_are_missing(self, classifier, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, 'onnxscript', None)
        with pytest.raises(ValueError, match='onnxscript does not import: pip install onnx onnxruntime onnxscript'):
            export(classifier, 'none', tmp_path / 'x.onnx')

    def test_what_the_exporter_cannot_follow(self, classifier, tmp_path, monkeypatch):
        """A network that branches on its values."""
        relu = nn.ReLU.forward
        monkeypatch.setattr(nn.ReLU, 'forward', lambda self, x: relu(self, x) if x.sum() > 0 else x)
        with pytest.raises(ValueError, match=r'the export as torch\.export failed \(GuardOnData') as error:
            export(classifier, 'none', tmp_path / 'x.pt2', **QUICK)
        assert '\n' not in str(error.value) and not any(tmp_path.iterdir())
