"""The arguments that the tools share."""

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted_imports() -> Iterator[None]:
    """Let Ctrl-C in an import end the process without a traceback: libraries catch it there, or print theirs."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


class Options(argparse.Action):
    """mmengine's KEY=VALUE pairs, imported when the first is read; a pair that cannot be read is a usage error."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None) -> None:
        for value in values:
            if '=' not in value:
                parser.error(f'{option} takes KEY=VALUE, got {value!r}')
        with uninterrupted_imports():
            from mmengine.config import DictAction
        try:
            DictAction(self.option_strings, self.dest, nargs='+')(parser, namespace, values, option)
        except AssertionError as error:  # imbalanced brackets, with the value
            parser.error(f'{option}: {error}')


def tool_parser(description: 'str | None') -> argparse.ArgumentParser:
    """A parser with what every tool takes."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--traceback', action='store_true', help='show where an error came up')
    return p


def add_options(p: argparse.ArgumentParser) -> None:
    p.add_argument('--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help='changes by dotted key')


def config_parser(description: 'str | None') -> argparse.ArgumentParser:
    """The parser of a tool that reads a config."""
    p = tool_parser(description)
    p.add_argument('config', help='a file, or the name of a config of the package (eca-mm configs)')
    add_options(p)
    return p


def run_parser(description: 'str | None') -> argparse.ArgumentParser:
    """The parser of a tool that runs a config on its data."""
    p = config_parser(description)
    p.add_argument('--data-root', help='root of the dataset (default: COCO_ROOT or IMAGENET_ROOT, or data/coco, ...)')
    p.add_argument('--work-dir', help='output folder (default: work_dirs/NAME_OF_THE_CONFIG)')
    p.add_argument('--launcher', default='none', help='none, pytorch (torchrun), slurm or mpi (%(default)s)')
    p.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)  # old launchers pass it
    return p
