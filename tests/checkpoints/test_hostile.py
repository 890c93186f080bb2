"""Hostile weights: each is one short sentence, for whatever reads it, and soon; nothing is run and nothing left behind."""

import json
import os
import pickle
import random
import struct
import time

import pytest
import torch
from torchvision.models import resnet18

from eca_mm.checkpoints import load_backbone
from eca_mm.convert import convert_checkpoint
from eca_mm.engine import evaluate, load_config, load_model
from eca_mm.engine.train import train
from eca_mm.errors import UserError
from eca_mm.export import export
from eca_mm.models import AttentionResNet, ECAResNet
from tests.convert.networks import small
from tests.support import NO_VALIDATION, Bomb, short


def saved(content):
    return lambda file, model: torch.save(content(model), file)


def written(content):
    return lambda file, model: file.write_bytes(content)


def with_first(change):
    """A file in which one weight is another."""

    def make(file, model):
        key = next(key for key in model if key.endswith('conv1.weight'))
        torch.save(model | {key: change(model[key])}, file)

    return make


def safetensors(header, data=b'\0' * 4):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return written(struct.pack('<Q', len(text)) + text + data)


def zipped(change):
    """A checkpoint with changed bytes."""

    def make(file, model):
        torch.save(model, file)
        file.write_bytes(change(file.read_bytes()))

    return make


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def junk(model, count=30_000):
    one = torch.ones(1)
    return model | {f'junk.{i}.weight': one for i in range(count)}


NOISE = random.Random(0).randbytes(1000)
ONE = {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}
# What is in the file, made of a model's weights, and a part of the sentence.
FILES = {
    'random bytes': (written(NOISE), 'not a PyTorch checkpoint'),
    'text': (written(b'weights of my best model\n' * 40), 'not a PyTorch checkpoint'),
    'nothing': (written(b''), 'truncated or not a PyTorch checkpoint'),
    'a pickle that pops nothing': (written(b'\x80\x02tR.'), 'not a PyTorch checkpoint'),
    'a web page': (written(b'<!doctype html>'), 'a web page'),
    'an old pickle of a number': (written(pickle.dumps(5, protocol=2)), 'not a PyTorch checkpoint'),
    'a flipped byte': (zipped(flipped), 'damaged'),
    'half': (zipped(lambda data: data[: len(data) // 2]), 'truncated or not a PyTorch checkpoint'),
    'a repeated value of 10^13': (with_first(lambda w: torch.ones(1).expand(10**7, 10**6)), 'as few values repeated'),
    'without values': (with_first(lambda w: w.to('meta')), 'without values'),
    'sparse': (with_first(lambda w: w.to_sparse()), 'sparse'),
    'no input channels': (with_first(lambda w: w[:, :0]), '(64, 0, 7, 7)'),
    'a single number': (with_first(lambda w: torch.tensor(1.0)), 'is ()'),
    'NaN': (with_first(lambda w: w * float('nan')), 'NaN or infinity in 1 weights'),
    'integers': (with_first(lambda w: w.int()), 'torch.int32: weights must be'),
    'negative variances': (
        saved(lambda m: {k: -v if k.endswith('running_var') else v for k, v in m.items()}), 'variances below 0 in 20 weights',
    ),
    'a long key': (saved(lambda m: m | {'k' * 5_000_000: torch.ones(1)}), 'kkk...'),
    'a long entry': (saved(lambda m: {'k' * 5_000_000: 1}), 'kkk...'),
    'a list': (saved(lambda m: [1]), 'holds a list'),
    'keys that are no text': (saved(lambda m: {1: torch.ones(1), None: torch.ones(1)}), 'holds no weights'),
    'weights that are no dictionary': (saved(lambda m: dict(state_dict=[1])), "a list under 'state_dict'"),
    'junk keys': (saved(junk), '30000 without a place'),
}  # fmt: skip


@pytest.fixture
def model(classifier):
    """The weights of the small classifier."""
    return load_model(classifier, None).state_dict()


def refusal(call, folder):
    """The sentence, which is short and comes soon; what is in the folder stays."""
    before, start = sorted(os.listdir(folder)), time.process_time()
    with pytest.raises(UserError) as error:
        call()
    assert time.process_time() - start < 15 and len(str(error.value)) < 2000 and '\n' not in str(error.value).strip()
    assert sorted(os.listdir(folder)) == before
    return str(error.value)


@pytest.mark.parametrize('name', FILES)
def test_files(name, classifier, model, tmp_path):
    """In a conversion, as a backbone's weights, and as a model's to predict with."""
    write, part = FILES[name]
    write(file := tmp_path / 'a.pth', model)
    assert part in refusal(lambda: convert_checkpoint(str(file), tmp_path / 'b.pth'), tmp_path)
    if name not in ('a long key', 'junk keys'):  # which a backbone passes over
        assert part in refusal(lambda: load_backbone(ECAResNet(18, 3), str(file)), tmp_path)
    assert part in refusal(lambda: load_model(classifier, file), tmp_path)


@pytest.mark.parametrize('name', ['random bytes', 'NaN', 'negative variances'])
def test_tools(name, classifier, model, tmp_path):
    """What tools/test.py, train.py and export.py call."""
    write, part = FILES[name]
    write(file := tmp_path / 'a.pth', model)

    def config(**options):
        options = short(**NO_VALIDATION) | {'test_dataloader.dataset.indices': 1} | options
        return load_config(classifier, work_dir=str(tmp_path.parent / 'work'), cfg_options=options)

    assert part in refusal(lambda: evaluate(config(), str(file)), tmp_path)
    assert part in refusal(lambda: export(config(), str(file), tmp_path / 'x.pt2'), tmp_path)
    assert part in refusal(lambda: train(config(load_from=str(file))), tmp_path)


@pytest.mark.parametrize(('file', 'part'), [
    ('http://[bad', 'is no URL'), ('http://host:abc/a.pth', 'is no URL'), ('https://', 'cannot be downloaded'),
    ('ftp://host/a.pth', 'only files, URLs'), ('torchvision://', 'mmengine knows no'), ('a\0b.pth', 'not found'),
    ('pipe', 'is a pipe or device'), ('/dev/zero', 'is a pipe or device'), ('.', 'is a folder'), ('loop', 'not found'),
    ('x' * 300, 'not found'),
])  # fmt: skip
def test_places(file, part, classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo('pipe')
    os.symlink('loop', 'loop')
    for call in (
        lambda: convert_checkpoint(file, 'b.pth'),
        lambda: load_model(classifier, file),
        lambda: load_backbone(None, file),
    ):
        assert part in refusal(call, tmp_path)


@pytest.mark.parametrize(('header', 'part'), [
    (b'{"a":', 'not a safetensors file'),
    ({'x': ONE | {'data_offsets': [0, 4 * 10**9]}}, 'not a safetensors file'),
    ({'x': ONE, '__metadata__': {'a': '[' * 200_000}}, 'are not the weights of'),  # text that no parser gets through
])  # fmt: skip
def test_safetensors(header, part, tmp_path):
    safetensors(header)(file := tmp_path / 'a.safetensors', {})
    assert part in refusal(lambda: convert_checkpoint(str(file), tmp_path / 'b.pth'), tmp_path)


@pytest.mark.parametrize('extra', [
    dict(arch=torch.ones(3)), dict(arch='resnet50.no_such_tag'), dict(arch=['x']), dict(meta=[1]),
    dict(meta=dict(cfg='(' * 9999)), dict(meta=dict(cfg='model=dict(backbone=dict(plugins=7))')),
    {'k' * 5_000_000: 1}, {1: 'x'},
])  # fmt: skip
def test_what_does_not_matter_is_passed_over(extra, tmp_path):
    """And the report stays short."""
    torch.save(dict(state_dict=small()) | extra, tmp_path / 'a.pth')
    assert len(str(convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth'))) < 5000


@pytest.mark.parametrize(('change', 'part'), [
    (lambda m: {k.replace('layer4.', 'layer999999999.'): v for k, v in m.items()}, 'stages of (2, 2, 2) blocks'),
    (lambda m: {k.replace('layer4.0', f'layer4.{"9" * 5000}'): v for k, v in m.items()}, 'missing'),
    (lambda m: m | {f'layer1.{i}.se.fc1.weight': torch.ones(64) for i in (0, 1)}, '2 without a place'),
    (lambda m: m | {f'layer1.{i}.other.eca.conv.weight': torch.ones(1, 1, 3) for i in (0, 1)}, '2 without a place'),
    (lambda m: m | {f'layer1.{i}.se.conv.weight': torch.ones(64, 0, 1, 1) for i in (0, 1)}, '(64, 0, 1, 1)'),
    (lambda m: dict(state_dict=m, meta=dict(cfg='model=dict(backbone=dict(strides=5, plugins=7))')), 'strides=5'),
])  # fmt: skip
def test_structures(change, part, tmp_path):
    torch.save(change(AttentionResNet(18).state_dict()), tmp_path / 'a.pth')
    assert part in refusal(lambda: convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth'), tmp_path)


def test_code_does_not_run(classifier, tmp_path):
    torch.save(dict(state_dict=resnet18().state_dict(), extra=Bomb(tmp_path / 'ran')), file := tmp_path / 'a.pth')
    for call in (
        lambda: convert_checkpoint(str(file), tmp_path / 'b.pth'),
        lambda: load_model(classifier, file),
        lambda: load_backbone(AttentionResNet(18), str(file)),
    ):
        assert 'refused: it needs `posix.mkdir`' in refusal(call, tmp_path)
