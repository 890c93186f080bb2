"""How tools read their arguments, and how they end."""

import sys

import pytest

import eca_mm.cli
from eca_mm.cli.ending import run_tool
from eca_mm.cli.flags import name_flags
from eca_mm.errors import Interrupted, MissingFileError
from tests.support import REPOSITORY, succeeded
from tests.test_packaging import run


def end(error, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        run_tool(main)
    return end.value.code, capsys.readouterr().err


def test_a_mistake_is_one_sentence(capsys):
    assert end(MissingFileError('no x'), capsys) == ('error: no x', '')
    with pytest.raises(MissingFileError, match='no x'):
        run_tool(lambda: (_ for _ in ()).throw(MissingFileError('no x')), traceback=True)


@pytest.mark.parametrize('error', [KeyError('b'), ValueError('in the depths'), AttributeError('x'), OSError('disk')])
def test_a_bug_keeps_its_traceback(error, capsys):
    code, shown = end(error, capsys)
    assert 'Traceback' in shown and 'raise error' in shown and f'{type(error).__name__}: {error}' in shown
    assert f'This {type(error).__name__} was not expected' in code and 'tools/doctor.py' in code


def test_ctrl_c(capsys):
    assert end(Interrupted('go on by --resume'), capsys) == (130, 'go on by --resume\n')
    assert end(KeyboardInterrupt(), capsys) == (130, '')


@pytest.mark.parametrize(
    ('library', 'tool'),
    [
        ('write over it with `force=True`', 'write over it with --force'),
        ('`style=\'tf\'` and `to="timm"`', '--style tf and --to timm'),
        ('by `cfg_options` backbone_weights=FILE', 'by --cfg-options backbone_weights=FILE'),
        ('`skip_unreadable` must be', '--skip-unreadable must be'),
        ('`below` of a subcommand', '--below of a subcommand'),
        (
            '`backbone_weights` and `norm_eval=True` are of configs',
            '`backbone_weights` and `norm_eval=True` are of configs',
        ),
    ],
)
def test_tools_name_flags_where_the_library_names_arguments(library, tool, capsys):
    assert name_flags(library) == tool
    assert end(MissingFileError(library), capsys)[0] == f'error: {tool}'


def test_a_tool_for_every_script():
    assert sorted(f.stem for f in (REPOSITORY / 'tools').glob('*.py')) == sorted(eca_mm.cli.TOOLS)


def test_help_imports_no_library(tmp_path):
    """Of any tool, by its script and by the command; nor is anything put on ``sys.path``."""
    program = """
import runpy, sys
repository, *names = sys.argv[1:]
for module in ('torch', 'mmengine', 'numpy'):
    sys.modules[module] = None  # an import of it fails
sys.argv = [f'{repository}/tools/train.py', '--help']
path = sys.path[:]
for name in names:
    sys.argv[0] = f'{repository}/tools/{name}.py'
    try:
        runpy.run_path(sys.argv[0], run_name='__main__')
    except SystemExit as end:
        assert not end.code
from eca_mm.cli import main
sys.argv = ['eca-mm', 'plot', 'gap', '--help']
try:
    main()
except SystemExit as end:
    assert not end.code
assert sys.path == path
"""
    screen = succeeded(run(sys.executable, '-c', program, REPOSITORY, *eca_mm.cli.TOOLS))
    assert all(f'usage: {name}.py ' in screen for name in eca_mm.cli.TOOLS)
    assert 'usage: eca-mm plot gap ' in screen


@pytest.mark.parametrize('arguments', [['--traceback', 'gap', 'c', 'x', 'i'], ['gap', 'c', 'x', 'i', '--traceback']])
def test_traceback_before_and_after_a_subcommand(arguments):
    from eca_mm.cli.plot import make_parser

    assert make_parser().parse_args(arguments).traceback
    assert not make_parser().parse_args(['gap', 'c', 'x', 'i']).traceback


def test_an_operator_that_is_missing_is_one_sentence(capsys):
    """mmcv_torch_ops' error; another RuntimeError remains a bug."""
    operators = pytest.importorskip('mmcv_torch_ops.errors')
    assert end(operators.OperatorError('nms_rotated: not here'), capsys) == ('error: nms_rotated: not here', '')
    assert 'Traceback' in end(RuntimeError('nms_rotated: not here'), capsys)[1]


@pytest.mark.parametrize(
    ('module', 'distribution'),
    [
        ('mmengine', 'onedl-mmengine'),
        ('mmcv', 'onedl-mmcv'),
        ('mmdet', 'onedl-mmdetection'),
        ('mmpretrain', 'onedl-mmpretrain'),
    ],
)
def test_a_library_that_is_missing_is_one_sentence(module, distribution, capsys):
    code, shown = end(ModuleNotFoundError(f'No module named {module!r}', name=module), capsys)
    assert code.startswith('error: ') and f'needs {module}: pip install {distribution}' in code and not shown


def test_another_missing_module_keeps_its_traceback(capsys):
    error = ModuleNotFoundError("No module named 'mmpretrain.mine'", name='mmpretrain.mine')
    assert 'Traceback' in end(error, capsys)[1]
