"""How files are written: whole or not at all, and what is said where they cannot be."""

import errno
import io
import multiprocessing
import os
import subprocess
import time
from pathlib import Path

import pytest
from mmengine.fileio import get_file_backend

from eca_mm.errors import ExistingFileError, UserError
from eca_mm.output import check_output, full_disk, make_folder, write_atomically

FORK = multiprocessing.get_context('fork')


def test_folders_are_made_and_files_replaced(tmp_path, monkeypatch):
    """The home is expanded, and a link stays one."""
    file = tmp_path / 'a/b/c.txt'
    for content in ('first', b'second'):
        assert write_atomically(file, content) == file
    assert file.read_text() == 'second' and [f.name for f in file.parent.iterdir()] == ['c.txt']
    backend = get_file_backend(str(tmp_path), backend_args=dict(backend='eca_mm.atomic'))
    backend.put(b'x', tmp_path / 'd/e')
    assert [f.read_bytes() for f in (tmp_path / 'd').iterdir()] == [b'x']
    monkeypatch.setenv('HOME', str(tmp_path))
    write_atomically(check_output('~/new/a'), 'x')
    assert (tmp_path / 'new/a').read_text() == 'x'
    (tmp_path / 'link').symlink_to('elsewhere/file')
    write_atomically(tmp_path / 'link', 'x')
    assert (tmp_path / 'link').is_symlink() and (tmp_path / 'elsewhere/file').read_text() == 'x'


def write_in_turn(file, written):
    while True:
        for letter in (b'a', b'b'):
            write_atomically(file, letter * 5_000_000)
        written.set()


def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    """A process that writes two contents in turn is killed; the file is one of them, at any time."""
    file, written = tmp_path / 'epoch_1.pth', FORK.Event()
    process = FORK.Process(target=write_in_turn, args=(file, written))
    process.start()
    assert written.wait(60)
    for i in range(6):
        if i == 5:
            process.kill()
            process.join()
        content = file.read_bytes()
        assert len(content) == 5_000_000 and content == content[:1] * 5_000_000
        time.sleep(0.03)


def test_temporary_names_are_nobody_elses(tmp_path, monkeypatch):
    """What is planted at one is not followed, and two writers never share one."""
    (tmp_path / 'secret').write_text('mine')
    monkeypatch.setattr('secrets.token_hex', lambda n: '0' * 2 * n)
    (tmp_path / f'.{"0" * 16}.eca_mm.tmp').symlink_to('secret')
    with pytest.raises(UserError, match=r'a\.pth cannot be written \(File exists\)'):
        write_atomically(tmp_path / 'a.pth', 'x')
    assert (tmp_path / 'secret').read_text() == 'mine'
    monkeypatch.undo()
    write_atomically(tmp_path / 'a.pth', 'x')
    names = set()
    monkeypatch.setattr(os, 'replace', lambda source, target: names.add(source.name) or source.rename(target))
    for _ in range(3):
        write_atomically(tmp_path / 'a.pth', 'x')
    assert len(names) == 3


def write_often(file, letter):
    for _ in range(60):
        write_atomically(file, letter * 1000)


def test_two_writers(tmp_path):
    writers = [FORK.Process(target=write_often, args=(tmp_path / 'a', letter)) for letter in 'xy']
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [w.exitcode for w in writers] == [0, 0] and [f.name for f in tmp_path.iterdir()] == ['a']
    assert (tmp_path / 'a').read_text() in ('x' * 1000, 'y' * 1000)


def write_to_standard_output(out):
    os.dup2(out.fileno(), 1)
    write_atomically('/dev/stdout', 'x')
    os.write(1, b'y')


def test_streams_are_written_to(tmp_path):
    """A pipe, a terminal or a device is not replaced by a file, and is there already without harm."""
    os.mkfifo(tmp_path / 'pipe')
    check_output(tmp_path / 'pipe')
    check_output('/dev/stdout')
    with subprocess.Popen(['cat', tmp_path / 'pipe'], stdout=subprocess.PIPE) as reader:
        write_atomically(tmp_path / 'pipe', 'x')
        assert reader.stdout.read() == b'x' and (tmp_path / 'pipe').is_fifo()
    # Where standard output is a regular file, the process goes on printing to it.
    with open(tmp_path / 'out', 'w') as out:
        process = FORK.Process(target=write_to_standard_output, args=(out,))
        process.start()
        process.join()
    assert process.exitcode == 0 and (tmp_path / 'out').read_text().endswith('y')
    assert Path('/dev/stdout').is_symlink()


@pytest.mark.skipif(not os.access('/dev/shm', os.W_OK), reason='no /dev/shm')
def test_shared_memory_is_no_device(tmp_path, monkeypatch):
    folder = Path('/dev/shm') / f'eca_mm_test_{os.getpid()}'
    replaced, replace = [], os.replace
    monkeypatch.setattr(os, 'replace', lambda source, target: replaced.append(target) or replace(source, target))
    try:
        write_atomically(folder / 'run/x.pth', 'x')
        assert replaced == [folder / 'run/x.pth'] and replaced[0].read_text() == 'x'
    finally:
        for path in (folder / 'run/x.pth', folder / 'run', folder):
            path.unlink() if path.is_file() else path.rmdir()


def test_a_full_disk(tmp_path, monkeypatch):
    """The file and the reason are named, the old content and nothing else is there."""
    with pytest.raises(UserError, match=r'/dev/full cannot be written \(No space left on device\)'):
        write_atomically('/dev/full', 'x')
    write_atomically(tmp_path / 'a', 'old')

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(UserError, match=rf'{tmp_path}/a cannot be written \(No space left on device\): make room'):
        write_atomically(tmp_path / 'a', 'new')
    assert [f.read_text() for f in tmp_path.iterdir()] == ['old']


def test_what_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('file').touch()
    with pytest.raises(UserError, match=r'file/b cannot be written \(File exists\)'):
        write_atomically('file/b', 'x')
    for path in ('file', 'file/b', '/dev/null/x'):
        with pytest.raises(UserError, match=rf'^--out: {path} cannot be made a folder'):
            make_folder(path, '--out')
    with pytest.raises(UserError, match='^file cannot be made a folder'):
        check_output('file/b')
    Path('loop').symlink_to('loop')
    for path, reason in (('x' * 300, 'File name too long'), ('loop', 'Symlink loop|symbolic links')):
        for write in (lambda path: check_output(path, force=True), lambda path: write_atomically(path, 'x')):
            with pytest.raises(UserError, match=rf'{path[:5]}.* cannot be written \(.*({reason})'):
                write(path)
    with pytest.raises(UserError, match='is a folder, not a file'):
        check_output(tmp_path, force=True)
    with pytest.raises(ExistingFileError, match='file exists: name another file, or write over it with `force=True`'):
        check_output('file')
    assert check_output('file', force=True) == Path('file') and make_folder('a/b') == make_folder('a/b') == Path('a/b')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match='cannot be written into'):
        check_output(tmp_path / 'a')
    tmp_path.chmod(0o700)


def test_what_libraries_raise_on_a_full_disk():
    """One sentence with the advice."""

    def run(error=None):
        with full_disk('the folder', ', or not'):
            if error:
                raise error
            write_atomically('/dev/full', 'x')

    no_room = r'cannot be written \(No space left on device\): make room there, or not$'
    with pytest.raises(UserError, match=f'^the folder {no_room}'):
        run(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(UserError, match=f'^/dev/full {no_room}'):
        run()
    with pytest.raises(UserError, match=r'^scalars\.json .*File too large.*ulimit -f'):
        run(OSError(errno.EFBIG, os.strerror(errno.EFBIG), 'scalars.json'))
    for other in (PermissionError(), UserError('of something else')):
        with pytest.raises(type(other)) as error:
            run(other)
        assert error.value is other


def test_a_folder_without_room(tmp_path, monkeypatch):
    """Said before the work that fills it, and nothing is left in it."""
    make_folder(tmp_path / 'a')
    monkeypatch.setattr('eca_mm.output.TemporaryFile', Full)
    with pytest.raises(
        UserError, match=r'^--out: .*b cannot be written into \(No space left on device\): make room there'
    ):
        make_folder(tmp_path / 'b', '--out')
    assert not any((tmp_path / 'a').iterdir())


class Full(io.BytesIO):
    def __init__(self, dir):
        super().__init__()

    def flush(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
