"""How tools end."""

import pytest

from eca_mm.cli import run_tool
from eca_mm.errors import Interrupted, MissingFileError


def end(error, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        run_tool(main)
    return end.value.code, capsys.readouterr().err


def test_a_mistake_is_one_sentence(capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['tool'])
    assert end(MissingFileError('no x'), capsys) == ('error: no x', '')
    monkeypatch.setattr('sys.argv', ['tool', '--traceback'])
    with pytest.raises(MissingFileError, match='no x'):
        run_tool(lambda: (_ for _ in ()).throw(MissingFileError('no x')))


@pytest.mark.parametrize('error', [KeyError('b'), ValueError('in the depths'), AttributeError('x'), OSError('disk')])
def test_a_bug_keeps_its_traceback(error, capsys):
    code, shown = end(error, capsys)
    assert 'Traceback' in shown and 'raise error' in shown and f'{type(error).__name__}: {error}' in shown
    assert f'This {type(error).__name__} was not expected' in code and 'tools/doctor.py' in code


def test_ctrl_c(capsys):
    assert end(Interrupted('go on by --resume'), capsys) == (130, 'go on by --resume\n')
    assert end(KeyboardInterrupt(), capsys) == (130, '')
