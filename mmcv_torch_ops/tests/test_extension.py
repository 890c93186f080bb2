"""The module that mmcv finds: its file, its names, and its refusals."""

import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES, FileFinder, PathFinder
from importlib.metadata import distribution
from pathlib import Path

import mmcv
import pytest
import torch
from mmcv import ops

from mmcv_torch_ops import OperatorError, extension, in_use


def test_the_file_lies_beside_mmcvs_own():
    files = [file for file in distribution('mmcv-torch-ops').files if file.parts[0] == 'mmcv' and file.suffix == '.py']
    assert [str(file) for file in files] == ['mmcv/_ext.py']
    assert Path(files[0].locate()).samefile(Path(mmcv.__file__).with_name('_ext.py'))


def test_python_prefers_a_compiled_module(tmp_path):
    (tmp_path / '_ext.py').touch()
    assert PathFinder.find_spec('_ext', [str(tmp_path)]).origin.endswith('_ext.py')
    (tmp_path / f'_ext{EXTENSION_SUFFIXES[0]}').touch()
    FileFinder(str(tmp_path)).invalidate_caches()
    sys.path_importer_cache.pop(str(tmp_path), None)
    assert PathFinder.find_spec('_ext', [str(tmp_path)]).origin.endswith(EXTENSION_SUFFIXES[0])
    here = any(Path(mmcv.__file__).with_name(f'_ext{suffix}').exists() for suffix in EXTENSION_SUFFIXES)
    assert in_use() == ('compiled' if here else 'mmcv_torch_ops')


def test_a_missing_operator_is_named_with_the_ways_to_get_it():
    with pytest.raises(OperatorError, match=r"'knn_forward'.* wheel .*MMCV_WITH_OPS=1 pip install .*mmcv==\d"):
        extension.knn_forward(torch.zeros(1, 5, 3))
    assert not hasattr(extension, '__path__')  # or Python takes it for a package


@pytest.mark.usefixtures('stand_in')
def test_environment_reports_name_the_library():
    assert 'torchvision' in ops.get_compiler_version()
    assert torch.version.cuda is None or torch.version.cuda in ops.get_compiling_cuda_version()


@pytest.mark.usefixtures('stand_in')
@pytest.mark.parametrize(
    'call',
    [
        lambda: ops.nms(torch.zeros(3, 4).double(), torch.zeros(3).double(), 0.5),
        lambda: ops.soft_nms(torch.zeros(3, 4).half(), torch.zeros(3).half()),
        lambda: ops.nms_match(torch.zeros(3, 5).double(), 0.5),
        lambda: ops.roi_align(torch.zeros(1, 1, 5, 5), torch.tensor([[0, 4.0, 0, 2, 3]]), 2),
        lambda: ops.roi_align(torch.zeros(1, 1, 5, 5), torch.tensor([[0, torch.nan, 0, 2, 3]]), 2),
    ],
)
def test_what_compiled_mmcv_refuses_is_refused(call):
    with pytest.raises(OperatorError, match=r'float32.* torch\.float(64|16)|x2 < x1'):
        call()


PLATFORM_MODULES = 'import sys; sys.modules.update(dict.fromkeys(["fcntl", "resource", "pwd", "grp", "termios"])); '


def test_it_imports_no_module_of_one_platform(tmp_path):
    """Of its own: torch, torchvision and mmcv.ops are imported before the modules are blocked."""
    code = (
        'import numpy, torch, torchvision, importlib.metadata; ' + PLATFORM_MODULES + 'import mmcv_torch_ops.extension'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=tmp_path, env={**os.environ, 'OMP_NUM_THREADS': '1'})
