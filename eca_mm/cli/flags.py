"""The library names its own arguments, in backquotes; the tools name the flags that set them."""

import argparse
import re
from functools import cache
from importlib import import_module

TOOLS = (
    'benchmark', 'compare', 'configs', 'convert_checkpoint', 'doctor', 'export', 'plot', 'predict', 'reproduce', 'test',
    'train',
)  # fmt: skip


def name_flags(text: str) -> str:
    """Replace the arguments in a sentence by flags: ```force=True``` by ``--force``, ```to='timm'``` by ``--to timm``."""

    def flag(argument: re.Match[str]) -> str:
        name, value = argument[1], (argument[2] or '').strip('\'"')
        found = f'--{name.replace("_", "-")}'
        if found not in _flags():
            return argument[0]
        return found if value in ('', 'True') else f'{found} {value}'

    return re.sub(r'`(\w+)(?:=([^`]*))?`', flag, text)


@cache
def _flags() -> frozenset[str]:
    parsers = [import_module(f'eca_mm.cli.{name}').make_parser() for name in TOOLS]
    for parser in parsers:  # grows by the subcommands
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers.extend(action.choices.values())
    return frozenset(option for parser in parsers for action in parser._actions for option in action.option_strings)
