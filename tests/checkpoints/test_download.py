"""Checkpoints from the web: downloaded once, compared with the digits in their names, and no broken one is kept."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from eca_mm.checkpoints import read_checkpoint
from eca_mm.checkpoints.download import local_file
from tests.support import Bomb


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))


def test_files(tmp_path):
    torch.save(dict(w=torch.ones(2)), tmp_path / 'a.pth')
    assert read_checkpoint((tmp_path / 'a.pth').as_uri())['w'].sum() == 2
    torch.save(Bomb(tmp_path / 'ran'), tmp_path / 'bomb.pth')
    with pytest.raises(ValueError, match='refused'):
        read_checkpoint((tmp_path / 'bomb.pth').as_uri())
    assert not (tmp_path / 'ran').exists()
    with pytest.raises(FileNotFoundError, match='checkpoint not found: file:///nowhere/a.pth'):
        read_checkpoint('file:///nowhere/a.pth')


def test_the_same_last_name(monkeypatch):
    monkeypatch.setattr('torch.hub.download_url_to_file', lambda url, file, _: Path(file).write_text(url))
    files = {local_file(f'https://somewhere/{name}/model.pth') for name in ('a', 'b', 'a')}
    assert sorted(f.read_text() for f in files) == [f'https://somewhere/{name}/model.pth' for name in 'ab']


def test_they_are_what_their_names_promise(tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '*')
    content = b'weights'
    sha = hashlib.sha256(content).hexdigest()
    (tmp_path / 'www').mkdir()
    for name in ('a.pth', f'a-{sha[:8]}.pth', 'a-0123456789abcdef.pth', 'a-20200130.pth', 'deadbeef.pth'):
        (tmp_path / 'www' / name).write_bytes(content)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / 'www')
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}'
        try:
            for name in ('a.pth', f'a-{sha[:8]}.pth', 'a-20200130.pth', 'deadbeef.pth'):
                assert local_file(f'{url}/{name}').read_bytes() == content
            other = f'{url}/a-0123456789abcdef.pth'
            with monkeypatch.context() as patch:
                patch.setattr('eca_mm.checkpoints.download.RELIABLE', ('127.0.0.1',))
                for wrong, reason in (
                    (other, f'expected "0123456789abcdef", got "{sha}"'), (f'{url}/b.pth', '404'),
                ):  # fmt: skip
                    with pytest.raises(ValueError, match=f'{wrong} cannot be downloaded: .*{reason}'):
                        local_file(wrong)
            with pytest.warns(UserWarning, match=f'{other} is another file than its name says: its sha256 is {sha}'):
                assert local_file(other).is_file()
        finally:
            server.shutdown()
    names = {file.name for file in (tmp_path / 'home/hub/checkpoints').iterdir()}
    assert len(names) == 5 and {f'a-{sha[:8]}.pth', 'a-0123456789abcdef.pth'} <= names  # as torch.hub names them


@pytest.mark.parametrize('broken', [b'<html>Quota exceeded', b'half of it'])
def test_a_broken_one_is_tried_again(broken, tmp_path, monkeypatch):
    torch.save(dict(w=torch.ones(2)), tmp_path / 'a.pth')
    content = [broken, (tmp_path / 'a.pth').read_bytes()]
    monkeypatch.setattr('torch.hub.download_url_to_file', lambda url, f, _: Path(f).write_bytes(content.pop(0)))
    url = 'https://somewhere/a.pth'
    with pytest.raises(ValueError, match=f'{url} gave no checkpoint, and the download was removed: .*-a.pth is'):
        read_checkpoint(url)
    for _ in range(2):  # the second time it is there
        assert read_checkpoint(url)['w'].sum() == 2
    (tmp_path / 'a.pth').write_bytes(broken)
    with pytest.raises(ValueError, match=r'a\.pth is'):
        read_checkpoint((tmp_path / 'a.pth').as_uri())
    assert (tmp_path / 'a.pth').read_bytes() == broken  # no download
