"""Converted files: what is written besides the weights, and where; entries of a checkpoint; the tool."""

import hashlib
import json
import os
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import eca_mm
from eca_mm.convert import convert_checkpoint
from tests.convert.networks import our_file, small
from tests.reference.authors import AuthorsMobileNetV2, as_the_authors_save
from tests.support import REPOSITORY, quietly

K = (1, 1, 1, 1, 3, 3, 3)


@pytest.fixture(scope='module')
def authors_file(tmp_path_factory):
    file = tmp_path_factory.mktemp('authors') / 'eca.pth.tar'
    torch.save(as_the_authors_save(AuthorsMobileNetV2(classes=5, width=0.25)), file)
    return file


@pytest.fixture
def src(authors_file, tmp_path):
    return shutil.copy(authors_file, tmp_path / 'eca.pth.tar')


def test_report(src, tmp_path):
    report = str(convert_checkpoint(str(src), tmp_path / 'out.pth'))
    assert report.startswith('authors -> mmpretrain: 0 matched, 331 renamed, 4 dropped\n')
    assert '  renamed   17  module.features.N.conv.N.conv.* -> backbone.layerN.N.conv.eca.conv.*\n' in report
    assert '  dropped    1  optimizer: state of the training, not weights\n' in report
    assert report.endswith(f"\nbackbone=dict(type='eca_mm.ECAMobileNetV2', widen_factor=0.25, kernel_size={K})")


def test_metadata(src, tmp_path):
    convert_checkpoint(str(src), tmp_path / 'new' / 'out.pth')
    convert_checkpoint(str(src), tmp_path / 'new' / 'out.safetensors', to='backbone')
    sha256 = hashlib.sha256(Path(src).read_bytes()).hexdigest()
    meta = torch.load(tmp_path / 'new' / 'out.pth', weights_only=True)['meta']
    assert (meta['source'], meta['source_sha256'], meta['kernel_sizes']) == ('authors', sha256, list(K))
    assert meta['tool'] == f'eca_mm {eca_mm.__version__}'
    with safe_open(tmp_path / 'new' / 'out.safetensors', 'pt') as file:
        header = {key: json.loads(value) for key, value in file.metadata().items() if key != 'format'}
    assert header == meta | dict(target='backbone')
    assert sorted(f.name for f in (tmp_path / 'new').iterdir()) == ['out.pth', 'out.safetensors']


def test_torchvision_gets_tensors_alone_as_they_are(tmp_path):
    state = {
        key: value.half() for key, value in small().items() if not key.endswith(('3.conv.weight', '4.conv.weight'))
    }
    torch.save(state, tmp_path / 'a.pth')
    convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth', to='torchvision')
    written = torch.load(tmp_path / 'b.pth', weights_only=True)
    assert written.keys() == state.keys() and all(value.equal(state[key]) for key, value in written.items())


def test_safetensors_is_a_source(src, tmp_path):
    convert_checkpoint(str(src), tmp_path / 'a.safetensors')
    result = convert_checkpoint(str(tmp_path / 'a.safetensors'), tmp_path / 'b.pth')
    assert (result.source, set(result.keys.dropped)) == ('mmpretrain', {'meta'})
    shutil.copy(tmp_path / 'a.safetensors', tmp_path / 'a.pth')  # whatever it is called
    assert str(convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'd.pth')) == str(result)
    expected = convert_checkpoint(str(src), tmp_path / 'c.pth').keys.tensors
    assert all(value.equal(expected[key]) for key, value in result.keys.tensors.items())


def test_destination(src, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = Path(src).read_bytes()
    os.link(src, 'same.pth')
    Path('checkpoints').mkdir()
    known = Path(shutil.copy(src, 'checkpoints/eca_resnet18_k3577.pth'))
    Path('there.pth').write_text('mine')
    Path('folder.pth').mkdir()
    for name, dst, force, message in (
        (src, src, True, 'must end in .pth or .safetensors'),
        (src, 'same.pth', True, 'is the source itself'),
        (known.absolute().as_uri(), known, True, 'is the source itself'),
        ('eca_resnet18_k3577', known, True, 'is the source itself'),
        (src, 'eca.pth.tar/a.pth', True, 'cannot be made a folder'),
        (src, 'folder.pth', True, 'is a folder'),
        (src, 'there.pth', False, 'exists: name another file, or write over it with `force=True`'),
    ):
        with pytest.raises(ValueError, match=message):
            convert_checkpoint(str(name), dst, force=force)
    assert Path('there.pth').read_text() == 'mine' and Path(src).read_bytes() == known.read_bytes() == before
    convert_checkpoint(str(src), 'there.pth', force=True)
    our_file('there.pth')


class TestEntries:
    """Checkpoints with more than one set of weights."""

    @pytest.mark.parametrize(('entry', 'other', 'about'), [
        ('state_dict', 'state_dict_ema', 'the averaged ones'),
        ('model', 'model_ema', 'the averaged ones'),
        ('state_dict', 'ema_state_dict', 'with mmengine those before averaging'),
    ])  # fmt: skip
    def test_averaged(self, entry, other, about, tmp_path):
        state = small()
        averaged = {f'module.{key}': value * 0.5 for key, value in state.items()}
        content = {entry: state, other: averaged | dict(n_averaged=torch.tensor(3), steps=torch.tensor(3))}
        torch.save(content | dict(args=Namespace(lr=0.1)), tmp_path / 'a.pth')
        keys = convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth').keys
        assert keys.tensors['head.fc.weight'].equal(state['classifier.1.weight'])
        assert keys.dropped == {
            other: f'other weights, {about}; `entry={other!r}` takes them',
            'args': 'state of the training, not weights',
        }
        keys = convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'c.pth', entry=other).keys
        assert keys.tensors['head.fc.weight'].equal(state['classifier.1.weight'] * 0.5)
        assert keys.dropped['n_averaged'] == 'how many models were averaged'

    def test_entries_that_are_no_weights(self, tmp_path):
        torch.save(dict(ema_state_dict=small(), epoch=3), tmp_path / 'a.pth')
        for entry, message in (
            (None, r'a\.pth holds no weights: its entries are ema_state_dict, epoch; '
                   'tools/convert_checkpoint.py --entry ema_state_dict takes those that are there'),
            ('ema', r"a\.pth has no entry 'ema', its entries are ema_state_dict, epoch"),
            ('epoch', "has a int under 'epoch'"),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=message):
                convert_checkpoint(str(tmp_path / 'a.pth'), tmp_path / 'b.pth', entry=entry)


class TestTool:
    @pytest.fixture(autouse=True)
    def beside_its_arguments(self, monkeypatch):
        monkeypatch.syspath_prepend(REPOSITORY / 'tools')

    def test_converts(self, src, tmp_path, monkeypatch, capsys):
        torch.save(dict(ema_state_dict=small(), epoch=3), tmp_path / 'a.pth')
        words = [tmp_path / 'a.pth', tmp_path / 'deep/out.pth', '--entry', 'ema_state_dict']
        monkeypatch.setattr('sys.argv', ['convert_checkpoint', *map(str, words)])
        quietly(REPOSITORY / 'tools/convert_checkpoint.py')
        assert f'kernel_size={K})\nwritten: {tmp_path}/deep/out.pth\n' in capsys.readouterr().out
        our_file(tmp_path / 'deep/out.pth')

    def test_refuses_in_one_sentence(self, src, tmp_path, monkeypatch):
        """Without a file left behind, and with the source as it was."""
        before = Path(src).read_bytes()
        monkeypatch.setattr('sys.argv', ['x', str(src), str(tmp_path / 'out/out.pth'), '--to', 'timm'])
        with pytest.raises(
            SystemExit, match=f'^error: {src} cannot be converted: MobileNetV2 is not converted to timm, only'
        ):
            quietly(REPOSITORY / 'tools/convert_checkpoint.py')
        assert [f for f in tmp_path.rglob('*') if f.is_file()] == [Path(src)] and Path(src).read_bytes() == before
