"""What README and documentation show as code runs."""

import re
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from tests.support import REPOSITORY, as_arguments, short


def blocks(page):
    return re.findall(r'^```python\n(.*?)^```', (REPOSITORY / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def test_the_readmes_lines_of_python():
    code, _ = blocks('README.md')
    names = {}
    with torch.no_grad():
        exec(code, names)
    assert [f.shape[1] for f in names['features']] == [256, 512, 1024, 2048]


@pytest.mark.parametrize(('page', 'block'), [('README.md', 1), ('docs/backbones.md', 1)])
def test_configs(page, block, tmp_path):
    """With ECA in each of the sixteen blocks."""
    (tmp_path / 'config.py').write_text(blocks(page)[block])
    cfg = Config.fromfile(tmp_path / 'config.py')
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model if 'model' in cfg else cfg.backbone)
    assert sum('.eca.' in name for name, _ in model.named_parameters()) == 16


def test_the_notebooks_cells(in_process, shapes_root, tmp_path, monkeypatch):
    """Its lines, with fewer pictures; the first, which installs, is not run."""
    _, train, predict = blocks('docs/notebook.md')
    command, *rest = train.split()
    assert command == '!eca-mm'
    serial = {
        f'{kind}_dataloader.{key}': 0 for kind in ('train', 'val') for key in ('num_workers', 'persistent_workers')
    }
    in_process(*rest, *as_arguments(short(epochs=None) | serial))
    (tmp_path / 'data/shapes/val').mkdir(parents=True)
    (tmp_path / 'data/shapes/val/000001.png').write_bytes((shapes_root / 'val/000001.png').read_bytes())
    shown = []
    monkeypatch.setitem(sys.modules, 'IPython', ModuleType('IPython'))
    monkeypatch.setitem(sys.modules, 'IPython.display', SimpleNamespace(Image=shown.append))
    names = {}
    exec(predict, names)
    assert len(names['found']) == 1 and (tmp_path / shown[0]).is_file()
