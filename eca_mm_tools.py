"""The command ``eca-mm TOOL ...``: a tool of ``tools/``, as it came with the installed package.

A module of its own beside the package: importing that takes seconds, and ``eca-mm train --help`` should not.
"""

import importlib.util
import runpy
import sys
from pathlib import Path


def main() -> None:
    folder = Path(importlib.util.find_spec('eca_mm').origin).with_name('.mim') / 'tools'  # which imports nothing
    tools = {file.stem: file for file in sorted(folder.glob('*.py')) if file.stem != 'arguments'}
    name = sys.argv[1] if len(sys.argv) > 1 else ''
    if name not in tools:
        asked = name in ('', '-h', '--help')
        print(f'usage: eca-mm TOOL ...\n\nTOOL is one of {", ".join(tools)}; eca-mm TOOL --help says more.')
        sys.exit(0 if asked else f'eca-mm: error: no tool {name!r}')
    sys.argv = [f'eca-mm {name}', *sys.argv[2:]]
    sys.path.insert(0, str(folder))
    runpy.run_path(str(tools[name]), run_name='__main__')


if __name__ == '__main__':
    main()
