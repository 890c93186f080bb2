"""The command line: ``eca-mm TOOL ...`` and ``tools/TOOL.py`` run the module of this package with the tool's name.

Such a module has ``make_parser()``, which reads the arguments, and ``run(arguments)``, which calls the library and prints. Its
docstring is the text of ``--help``. No module here imports torch or mmengine before the arguments are read.
"""

import sys
from importlib import import_module

from eca_mm import _register
from eca_mm.cli.arguments import uninterrupted_imports
from eca_mm.cli.ending import run_tool
from eca_mm.cli.flags import TOOLS


def main() -> None:
    """The command ``eca-mm``: start the tool that the first argument names."""
    name, *arguments = sys.argv[1:] or ['']
    if name not in TOOLS:
        print(f'usage: eca-mm TOOL ...\n\nTOOL is one of {", ".join(TOOLS)}; eca-mm TOOL --help says more.')
        sys.exit(0 if name in ('', '-h', '--help') else f'eca-mm: error: no tool {name!r}')
    sys.argv = [f'eca-mm {name}', *arguments]  # argparse names the program by it
    start(name)


def start(name: str) -> None:
    """Read the arguments of the process and run a tool with them; end as :func:`run_tool` does."""
    tool = import_module(f'eca_mm.cli.{name}')
    arguments = tool.make_parser().parse_args()

    def run() -> None:
        if name != 'doctor':  # which first checks that all this imports
            with uninterrupted_imports():
                _register()
        tool.run(arguments)

    run_tool(run, traceback=arguments.traceback)
