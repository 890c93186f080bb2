"""Reading, writing and fitting checkpoints."""

import os
import pickle
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from mmengine.fileio import get_file_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn

from eca_mm.checkpoints import latest_checkpoint, load_backbone, read_checkpoint, weights_of
from eca_mm.checkpoints.reading import read_for_mmengine
from eca_mm.engine import runner
from eca_mm.models import AttentionResNet, ECAResNet
from eca_mm.output import AtomicBackend
from tests.support import REPOSITORY, Bomb


def save(path, value):
    torch.save(value, path)
    return path


def test_reads_a_training_checkpoint(tmp_path):
    history = HistoryBuffer([0.5, 0.25], [1, 1])
    file = save(
        tmp_path / 'a.pth', dict(message_hub=dict(loss=history), lr=np.float64(0.1), state_dict=dict(w=torch.ones(2)))
    )
    checkpoint = read_checkpoint(file)
    assert checkpoint['message_hub']['loss'].current() == 0.25
    assert checkpoint['lr'] == 0.1 and checkpoint['state_dict']['w'].sum() == 2


@pytest.mark.parametrize('wrap', [lambda b: b, lambda b: dict(state_dict={}, extra=b), lambda b: [b]])
def test_a_pickle_bomb_does_not_run(tmp_path, wrap):
    file = save(tmp_path / 'bomb.pth', wrap(Bomb(tmp_path / 'ran')))
    with pytest.raises(ValueError, match='refused: it needs `posix.mkdir`'):
        read_checkpoint(file)
    with open(tmp_path / 'raw.pth', 'wb') as f:
        pickle.dump(wrap(Bomb(tmp_path / 'ran')), f, protocol=2)
    with pytest.raises(ValueError, match=r'raw\.pth'):
        read_checkpoint(tmp_path / 'raw.pth')
    assert not (tmp_path / 'ran').exists()


def test_getattr_is_not_allowed(tmp_path):
    """mmengine's own list has it, and with it any function of any allowed module can be called."""

    class Getter:
        def __reduce__(self):
            return getattr, (np.ndarray, 'tofile')

    with pytest.raises(ValueError, match='getattr'):
        read_checkpoint(save(tmp_path / 'a.pth', dict(x=Getter())))


@pytest.mark.parametrize(
    'content', [b'', b'<!DOCTYPE html><title>Sign in</title>', b'PK\x03\x04 not really', b'\x80\x02}']
)
def test_refuses_what_is_not_a_checkpoint(tmp_path, content):
    file = tmp_path / 'a.pth'
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.pth is'):
        read_checkpoint(file)


def test_refuses_a_truncated_file(tmp_path):
    file = save(tmp_path / 'a.pth', dict(w=torch.ones(1000)))
    data = file.read_bytes()
    for size in (100, len(data) // 2, len(data) - 10):
        file.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r'a\.pth is'):
            read_checkpoint(file)


def test_refuses_other_things(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        read_checkpoint(tmp_path / 'nowhere.pth')
    with pytest.raises(ValueError, match='folder'):
        read_checkpoint(tmp_path)
    with pytest.raises(ValueError, match='list'):
        read_checkpoint(save(tmp_path / 'a.pth', [torch.ones(1)]))


def test_reads_urls(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    file = save(tmp_path / 'a.pth', dict(w=torch.ones(2)))
    assert read_checkpoint(file.as_uri())['w'].sum() == 2
    bomb = save(tmp_path / 'bomb.pth', Bomb(tmp_path / 'ran'))
    with pytest.raises(ValueError, match='refused'):
        read_checkpoint(bomb.as_uri())
    assert not (tmp_path / 'ran').exists()


def test_latest_passes_over_halves(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for i in (1, 2, 3, 10):
        save(tmp_path / f'epoch_{i}.pth', dict(w=torch.ones(1000)))
        os.utime(tmp_path / f'epoch_{i}.pth', (i, i))
    save(tmp_path / 'best.pth', dict(w=torch.ones(1)))
    assert latest_checkpoint(tmp_path).name == 'epoch_10.pth'
    half = tmp_path / 'epoch_10.pth'
    half.write_bytes(half.read_bytes()[:-100])
    assert latest_checkpoint(tmp_path).name == 'epoch_3.pth'


def test_atomic_write_survives_a_kill(tmp_path):
    """A process that writes one file again and again is killed; the file is whole, whenever that was."""
    program = """
import sys, torch, io
from eca_mm.output import AtomicBackend
data = io.BytesIO(); torch.save(dict(w=torch.ones(5_000_000)), data)
while True:
    AtomicBackend().put(data.getvalue(), sys.argv[1]); print('written', flush=True)
"""
    file = tmp_path / 'epoch_1.pth'
    with subprocess.Popen([sys.executable, '-c', program, file], stdout=subprocess.PIPE) as process:
        while b'written' not in process.stdout.readline():
            assert process.poll() is None
        for _ in range(5):
            time.sleep(0.03)
            assert read_checkpoint(file)['w'].sum() == 5_000_000
        process.kill()
    assert read_checkpoint(file)['w'].sum() == 5_000_000


def test_atomic_backend_is_registered(tmp_path):
    backend = get_file_backend(str(tmp_path), backend_args=dict(backend='eca_mm.atomic'))
    backend.put(b'x', tmp_path / 'a' / 'b')
    assert [f.read_bytes() for f in (tmp_path / 'a').iterdir()] == [b'x']


def test_atomic_write_goes_through_links(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path / 'file')
    AtomicBackend().put(b'x', tmp_path / 'link')
    assert (tmp_path / 'link').is_symlink() and (tmp_path / 'file').read_bytes() == b'x'
    program = "from eca_mm.output import AtomicBackend; AtomicBackend().put(b'x', '/dev/stdout')"
    run = subprocess.run([sys.executable, '-c', program], check=True, capture_output=True)
    assert run.stdout == b'x' and Path('/dev/stdout').is_symlink()
    os.mkfifo(tmp_path / 'pipe')
    with subprocess.Popen(['cat', tmp_path / 'pipe'], stdout=subprocess.PIPE) as reader:
        AtomicBackend().put(b'x', tmp_path / 'pipe')
        assert reader.stdout.read() == b'x' and (tmp_path / 'pipe').is_fifo()


THREE_STAGES = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))


def test_code_in_the_text_of_a_config_does_not_run(tmp_path):
    """mmengine's resume runs ``meta['config']``, where MMDetection 1.x has it; its own checkpoints have ``meta['cfg']``."""
    meta = dict(epoch=1, iter=1, cfg='x = 1', config=f'import os\nos.mkdir({str(tmp_path / "ran")!r})')
    read = read_checkpoint(save(tmp_path / 'a.pth', dict(meta=meta)))['meta']
    assert read == dict(epoch=1, iter=1, cfg='x = 1', config_text=meta['config'])


def test_every_scheme_of_mmengine_is_read_safely(tmp_path):
    program = """
import sys
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint
from eca_mm.checkpoints.reading import read_for_mmengine, use_safe_loading
use_safe_loading()
assert len(CheckpointLoader._schemes) > 8 and set(CheckpointLoader._schemes.values()) == {read_for_mmengine}
for name in ('torchvision://resnet5000', 's3://x/y.pth', 'pavi://x'):
    try:
        _load_checkpoint(name)
    except ValueError as error:
        assert name in str(error)
    else:
        sys.exit(name)
"""
    subprocess.run([sys.executable, '-c', program], check=True)


class TestWeightsOf:
    @pytest.mark.parametrize('wrap', [
        lambda s: s, lambda s: dict(state_dict=s, epoch=1), lambda s: dict(model=s, args=Namespace(lr=0.1)),
        lambda s: {f'module._orig_mod.{key}': value for key, value in s.items()},
        lambda s: dict(state_dict={f'module.{key}': value for key, value in s.items()} | dict(n_averaged=torch.tensor(2))),
    ])  # fmt: skip
    def test_mmengine_loads_what_is_checked(self, wrap, tmp_path):
        state = {'head.fc.bias': torch.ones(2)}
        file = save(tmp_path / 'a.pth', wrap(state))
        checkpoint = read_checkpoint(file)
        assert list(weights_of(checkpoint)) == list(runner.weights_of(checkpoint)) == list(state)
        model = nn.ModuleDict(dict(head=nn.ModuleDict(dict(fc=nn.Linear(1, 2)))))
        _load_checkpoint_to_model(model, read_for_mmengine(file))
        assert model['head']['fc'].bias.equal(torch.ones(2))

    @pytest.mark.parametrize('checkpoint', [
        dict(state_dict=[1]), dict(state_dict={1: 2}), dict(state_dict={}), {'head.fc.bias': 5}, {}, dict(model=None),
        {1: torch.ones(1)},
        {'fc.bias': torch.ones(1), 'module.fc.bias': torch.ones(1)},
    ])  # fmt: skip
    def test_refuses_what_are_no_weights(self, checkpoint):
        with pytest.raises(ValueError, match=r'^a\.pth (has|holds) '):
            weights_of(checkpoint, 'a.pth')

    def test_tools(self, refuse, tmp_path):
        for content in (dict(state_dict=[1]), dict(state_dict={1: 2}), {'head.fc.bias': 5}):
            save(tmp_path / 'a.pth', content)
            sentence = refuse('test', REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_shapes.py', tmp_path / 'a.pth')
            assert sentence.startswith(f'error: {tmp_path}/a.pth h') and 'weights' in sentence


class TestLoadBackbone:
    @pytest.mark.parametrize('wrap', [
        lambda s: s, lambda s: dict(state_dict=s), lambda s: dict(state_dict={f'module.{k}': v for k, v in s.items()}),
        lambda s: dict(state_dict={f'backbone.{k}': v for k, v in s.items()} | {'neck.conv1.weight': torch.ones(1)}),
        lambda s: dict(state_dict=s | {'fc.weight': torch.ones(1)}, optimizer=dict(lr=0.1)),
        lambda s: {k: v for k, v in s.items() if 'num_batches' not in k},
    ])  # fmt: skip
    def test_sources(self, tmp_path, wrap):
        source, target = ECAResNet(18), ECAResNet(18)
        load_backbone(target, str(save(tmp_path / 'a.pth', wrap(source.state_dict()))))
        for a, b in zip(source.parameters(), target.parameters(), strict=True):
            assert a.equal(b)

    def test_torchvision(self, tmp_path):
        source = torchvision.models.resnet18()
        target = AttentionResNet(
            18, init_cfg=dict(type='Pretrained', checkpoint=str(save(tmp_path / 'a.pth', source.state_dict())))
        )
        target.init_weights()  # mmpretrain would set the last norms to zero after it, were the weights not pretrained
        assert target.layer4[1].bn2.weight.equal(source.layer4[1].bn2.weight)
        assert target.conv1.weight.equal(source.conv1.weight)

    @pytest.mark.parametrize(('source', 'message'), [
        (lambda: AttentionResNet(18), '8 missing: layer1.0.eca.conv.weight'),
        (lambda: AttentionResNet(18, dict(type='SELayer')), '16 without a place: layer1.0.se.fc1.weight'),
        (lambda: ECAResNet(18, kernel_size=9), r'8 of another shape: layer1.0.eca.conv.weight is \(1, 1, 9\) in'),
        (lambda: ECAResNet(34), 'without a place: layer1.2'),
        (lambda: ECAResNet(18, **THREE_STAGES), 'missing: layer4'),
    ])  # fmt: skip
    def test_refuses_less_than_all(self, tmp_path, source, message):
        file = save(tmp_path / 'a.pth', source().state_dict())
        target = ECAResNet(18, init_cfg=dict(type='Pretrained', checkpoint=str(file)))
        before = {k: v.clone() for k, v in target.state_dict().items()}
        with pytest.raises(ValueError, match=message):
            target.init_weights()
        assert all(v.equal(before[k]) for k, v in target.state_dict().items())

    @pytest.mark.parametrize(('value', 'message'), [
        (torch.full((64,), float('nan')), 'a.pth has NaN or infinity in 1 weights: layer1.0.bn1.bias'),
        (torch.ones(64, dtype=torch.int32), 'a.pth has layer1.0.bn1.bias in torch.int32: weights must be dense'),
    ])  # fmt: skip
    def test_refuses_what_are_no_numbers(self, tmp_path, value, message):
        state = ECAResNet(18).state_dict() | {'layer1.0.bn1.bias': value}
        with pytest.raises(ValueError, match=message):
            load_backbone(ECAResNet(18), str(save(tmp_path / 'a.pth', state)))

    def test_passes_over_what_it_does_not_load(self, tmp_path):
        """MoCo's queue has an integer for its place, and a file may hold what is no tensor."""
        source = ECAResNet(18)
        state = {f'backbone.{key}': value for key, value in source.state_dict().items()}
        others = {'queue': torch.full((2,), float('nan')), 'queue_ptr': torch.zeros(1, dtype=torch.long), 'note': None}
        load_backbone(target := ECAResNet(18), str(save(tmp_path / 'a.pth', dict(state_dict=state | others))))
        assert target.conv1.weight.equal(source.conv1.weight)

    def test_refuses_another_style(self, tmp_path):
        """Whose weights have the same keys and shapes; the file's config tells."""
        caffe, pytorch = (AttentionResNet(50, style=style) for style in ('caffe', 'pytorch'))
        for text, fits, not_fits in (
            ('model = dict(backbone=dict(style="caffe"))', caffe, pytorch),
            ('model = dict(backbone=dict(depth=50))', pytorch, caffe),
        ):
            file = save(tmp_path / 'a.pth', dict(state_dict=caffe.state_dict(), meta=dict(cfg=text)))
            load_backbone(fits, str(file))
            with pytest.raises(ValueError, match=f"config says style='{fits.style}', and the backbone has style="):
                load_backbone(not_fits, str(file))
        load_backbone(caffe, str(save(tmp_path / 'a.pth', caffe.state_dict())))  # nothing tells
        state = AttentionResNet(18).state_dict()
        load_backbone(AttentionResNet(18), str(save(tmp_path / 'a.pth', dict(state_dict=state, meta=dict(cfg=text)))))

    def test_later_stages_may_be_left_out(self, tmp_path):
        file = save(tmp_path / 'a.pth', ECAResNet(18).state_dict())
        load_backbone(ECAResNet(18, **THREE_STAGES), str(file))
