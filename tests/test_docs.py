"""What README and documentation show as code runs."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from tests.support import REPOSITORY


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
