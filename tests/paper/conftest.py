import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from filelock import FileLock

from eca_mm.paper import TABLES, Cell
from tests.support import REPOSITORY


@pytest.fixture(scope='session')
def reproduced(tmp_path_factory, worker_id):
    """``tools/reproduce.py all``, once for all processes of the session: its screen, its folder, and its cells."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == 'master' else base.parent) / 'reproduced'
    with FileLock(f'{folder}.lock'):
        if not folder.exists():
            folder.mkdir()
            options = ['all', '--json', folder / 'all.json', '--report', folder / 'report', '--check']
            run = [sys.executable, REPOSITORY / 'tools/reproduce.py', *options]
            with open(folder / 'screen.txt', 'w') as file:
                code = subprocess.run(run, stdout=file, stderr=subprocess.STDOUT, check=False, timeout=1800).returncode
            (folder / 'code.txt').write_text(str(code))
    screen = (folder / 'screen.txt').read_text()
    assert (folder / 'code.txt').read_text() == '0', screen[-4000:]
    records = json.loads((folder / 'all.json').read_text())
    cells = [Cell(**{**record, 'table': TABLES[record['table']]}) for record in records]
    return SimpleNamespace(folder=folder, screen=screen, records=records, cells=cells)


@pytest.fixture
def cells(reproduced):
    """All numbers, with those that need neither data nor time."""
    return list(reproduced.cells)
