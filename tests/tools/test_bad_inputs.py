"""Every bad input of the table, given to its tool: one sentence, no traceback, and nothing written that should not be."""

import shutil

import cv2
import numpy as np
import pytest
import torch

from eca_mm.engine import load_config
from eca_mm.engine.model import model_of
from tests.support import REPOSITORY
from tests.tools.bad_inputs import TABLE, world

CASES = [(kind, *case) for kind, cases in TABLE.items() for case in cases]


@pytest.fixture(scope='session')
def whole(tmp_path_factory):
    """The files without a fault, and weights for each config."""
    root = tmp_path_factory.mktemp('world')
    world(root)
    for name in ('det', 'mask', 'cls'):
        torch.save(model_of(load_config(root / f'{name}.py'), None, '').state_dict(), root / f'{name}.pth')
    return root


def files(root):
    return {file.relative_to(root): file.read_bytes() for file in root.rglob('*') if file.is_file()}


@pytest.mark.parametrize(('kind', 'command', 'spoil', 'said'), CASES)
def test_it_is_one_sentence(kind, command, spoil, said, whole, in_process, tmp_path, capsys):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    if spoil:
        spoil(tmp_path)
    before = files(tmp_path)
    with pytest.raises(SystemExit) as end:
        in_process(*command.split())
    out, err = capsys.readouterr()
    code = end.value.code
    if isinstance(code, str):  # which Python prints, and exits with 1
        code, err = 1, f'{err}{code}\n'
    sentences = [line for line in err.splitlines() if 'error: ' in line or line.startswith('Traceback')]
    if not sentences and command.startswith('doctor'):
        sentences = [line for line in out.splitlines() if 'FAIL' in line]
    assert sentences and said in sentences[0] and (len(sentences) == 1 or 'error: ' not in sentences[0]), err
    assert code == 1 or (code == 2 and 'usage: ' in err)
    after = files(tmp_path)
    assert {name: after.get(name) for name in before} == before
    new = [name for name in after.keys() - before.keys() if name.parts[0] != 'work_dirs' or name.name == 'metrics.json']
    written = [file for file in tmp_path.glob('work_dirs/**/*.pth') if not file.name.startswith('resume_iter_')]
    assert not [*new, *written]


def test_unusual_images_are_none(whole, in_process, tmp_path):
    """With transparency, grey, of 16 bits, and of one pixel: trained on, and predicted for."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    folder, rng = 'animals/train/cat', np.random.default_rng(0)
    for name, shape, kind in (
        ('rgba.png', (40, 48, 4), np.uint8), ('grey.jpg', (40, 48), np.uint8), ('deep.png', (40, 48, 3), np.uint16),
        ('deep_grey.png', (40, 48), np.uint16), ('pixel.png', (1, 1, 3), np.uint8),
    ):  # fmt: skip
        cv2.imwrite(str(tmp_path / folder / name), (rng.random(shape) * 255).astype(kind))
    in_process('train', 'cls.py', '--work-dir', 'w')
    assert '6 images: ' in in_process('predict', 'cls.py', 'w/epoch_1.pth', folder)
    assert '6 images: ' in in_process('predict', 'det.py', 'det.pth', folder)


def test_the_table_is_of_every_tool():
    assert {command.split()[0] for _, command, _, _ in CASES} == {
        file.stem for file in (REPOSITORY / 'tools').glob('*.py')
    }
