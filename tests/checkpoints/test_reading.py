"""Reading checkpoints without running code from them."""

import os
import pickle
import zipfile
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint, _load_checkpoint_to_model
from safetensors.torch import save_file
from torch import nn

from eca_mm.checkpoints import latest_checkpoint, read_checkpoint, restricted, weights_of
from eca_mm.checkpoints.reading import read_for_mmengine, use_safe_loading
from tests.support import Bomb


@pytest.fixture(autouse=True, params=['the installed torch', 'torch 2.5'])
def torch_release(request, monkeypatch):
    """Also as with a torch whose ``weights_only`` allows no other names: by our own unpickler."""
    if request.param == 'torch 2.5':
        monkeypatch.setattr(restricted, 'TORCH', min(restricted.TORCH, (2, 5)))


def save(path, value):
    torch.save(value, path)
    return path


def test_reads_a_training_checkpoint(tmp_path):
    history = HistoryBuffer([0.5, 0.25], [1, 1])
    content = dict(message_hub=dict(loss=history), lr=np.float64(0.1), state_dict=dict(w=torch.ones(2)))
    checkpoint = read_checkpoint(save(tmp_path / 'a.pth', content))
    assert checkpoint['message_hub']['loss'].current() == 0.25
    assert checkpoint['lr'] == 0.1 and checkpoint['state_dict']['w'].sum() == 2


@pytest.mark.parametrize('wrap', [lambda b: b, lambda b: dict(state_dict={}, extra=b), lambda b: [b]])
def test_a_pickle_bomb_does_not_run(tmp_path, wrap):
    file = save(tmp_path / 'bomb.pth', wrap(Bomb(tmp_path / 'ran')))
    with pytest.raises(ValueError, match='refused: it needs `posix.mkdir`'):
        read_checkpoint(file)
    (tmp_path / 'raw.pth').write_bytes(pickle.dumps(wrap(Bomb(tmp_path / 'ran')), protocol=2))
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


# GLOBAL argparse.Namespace, then the state (None, {'eq': 1}), which pickle sets as attributes of the class itself.
STATE_OF_A_CLASS = b'\x80\x02cargparse\nNamespace\nN}X\x02\x00\x00\x00eqK\x01s\x86b.'


def test_the_state_of_a_class_is_not_set(tmp_path):
    pickle.loads(STATE_OF_A_CLASS)
    assert Namespace.eq == 1
    del Namespace.eq
    torch.save(1, file := tmp_path / 'a.pth')
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / 'b.pth', 'w') as new:
        for name in old.namelist():
            new.writestr(name, STATE_OF_A_CLASS if name.endswith('data.pkl') else old.read(name))
    with pytest.raises(ValueError, match=r'b\.pth'):
        read_checkpoint(tmp_path / 'b.pth')
    assert not hasattr(Namespace, 'eq')


def test_torchscript_is_not_run(tmp_path):
    torch.jit.script(nn.Linear(1, 1)).save(tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth'):
        read_checkpoint(tmp_path / 'a.pth')


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'is truncated or not a PyTorch checkpoint'),
    (b'\n<!DOCTYPE html><title>Sign in</title>', 'is not a PyTorch checkpoint but a web page'),
    (b'PK\x03\x04 not really', 'is truncated or not a PyTorch checkpoint'),
    (b'\x80\x02}', 'is truncated or not a PyTorch checkpoint'),
])  # fmt: skip
def test_refuses_what_is_not_a_checkpoint(tmp_path, content, message):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(ValueError, match=rf'a\.pth {message}'):
        read_checkpoint(tmp_path / 'a.pth')


@pytest.mark.parametrize(('name', 'write', 'kind'), [
    ('a.pth', lambda state, file: torch.save(state, file), 'PyTorch checkpoint'),
    ('a.safetensors', save_file, 'safetensors file'),
])  # fmt: skip
def test_refuses_a_truncated_file(tmp_path, name, write, kind):
    write(dict(w=torch.ones(1000)), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for size in (0, 100, len(data) // 2, len(data) - 10):
        (tmp_path / name).write_bytes(data[:size])
        with pytest.raises(ValueError, match=rf'{name} is truncated or not a {kind}'):
            read_checkpoint(tmp_path / name)


def test_refuses_other_things(tmp_path):
    for name in ('nowhere.pth', 'nowhere.safetensors'):
        with pytest.raises(FileNotFoundError, match=f'checkpoint not found: .*{name}'):
            read_checkpoint(tmp_path / name)
    with pytest.raises(ValueError, match='folder'):
        read_checkpoint(tmp_path)
    with pytest.raises(ValueError, match='list'):
        read_checkpoint(save(tmp_path / 'a.pth', [torch.ones(1)]))
    with pytest.raises(ValueError, match='s3://a/b.pth: only files, URLs'):
        read_checkpoint('s3://a/b.pth')


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


def test_code_in_the_text_of_a_config_does_not_run(tmp_path):
    """mmengine's resume runs ``meta['config']``, where MMDetection 1.x has it; its own checkpoints have ``meta['cfg']``."""
    meta = dict(epoch=1, iter=1, cfg='x = 1', config=f'import os\nos.mkdir({str(tmp_path / "ran")!r})')
    read = read_checkpoint(save(tmp_path / 'a.pth', dict(meta=meta)))['meta']
    assert read == dict(epoch=1, iter=1, cfg='x = 1', config_text=meta['config'])


def test_every_scheme_of_mmengine_is_read_safely(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes)  # for this test alone
    use_safe_loading()
    assert len(CheckpointLoader._schemes) > 8 and set(CheckpointLoader._schemes.values()) == {read_for_mmengine}
    for name in ('torchvision://resnet5000', 's3://x/y.pth', 'pavi://x'):
        with pytest.raises(ValueError, match=name):
            _load_checkpoint(name)


class TestWeightsOf:
    @pytest.mark.parametrize('wrap', [
        lambda s: s, lambda s: dict(state_dict=s, epoch=1), lambda s: dict(model=s, args=Namespace(lr=0.1)),
        lambda s: {f'module._orig_mod.{key}': value for key, value in s.items()},
        lambda s: dict(state_dict={f'module.{key}': value for key, value in s.items()} | dict(n_averaged=torch.tensor(2))),
    ])  # fmt: skip
    def test_mmengine_loads_what_is_checked(self, wrap, tmp_path):
        state = {'head.fc.bias': torch.ones(2)}
        file = save(tmp_path / 'a.pth', wrap(state))
        assert list(weights_of(read_checkpoint(file))) == list(state)
        model = nn.ModuleDict(dict(head=nn.ModuleDict(dict(fc=nn.Linear(1, 2)))))
        _load_checkpoint_to_model(model, read_for_mmengine(file))
        assert model['head']['fc'].bias.equal(torch.ones(2))

    @pytest.mark.parametrize(('checkpoint', 'message'), [
        (dict(state_dict=[1]), "has a list under 'state_dict', not a dictionary of weights"),
        (dict(model=None), "has a NoneType under 'model'"),
        (dict(state_dict={1: 2}), 'holds no weights: its entries are 1'),
        (dict(state_dict={}), 'holds no weights: its entries are none'),
        ({'head.fc.bias': 5}, 'holds no weights: its entries are head.fc.bias'),
    ])  # fmt: skip
    def test_refuses_what_are_no_weights(self, checkpoint, message):
        with pytest.raises(ValueError, match=rf'^a\.pth {message}'):
            weights_of(checkpoint, 'a.pth')
