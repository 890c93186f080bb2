"""The arguments that the tools share."""

import argparse
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


@contextmanager
def uninterrupted_imports() -> Iterator[None]:
    """Has Ctrl-C in an import end the process without a traceback: libraries catch it there, or print theirs."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


with uninterrupted_imports():
    from mmengine.config import DictAction


class Options(DictAction):
    """mmengine's KEY=VALUE pairs, with a sentence for what is none."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None) -> None:
        for value in values:
            if '=' not in value:
                parser.error(f'{option} takes KEY=VALUE, got {value!r}')
        try:
            super().__call__(parser, namespace, values, option)
        except AssertionError as error:  # imbalanced brackets, with the value
            parser.error(f'{option}: {error}')


def parser(description: str | None) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('config', help='a file of configs/')
    p.add_argument('--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help='changes by dotted key')
    return p


def run_parser(description: str | None) -> argparse.ArgumentParser:
    p = parser(description)
    p.add_argument('--data-root', help='root of the dataset (default: COCO_ROOT or IMAGENET_ROOT, or data/coco, ...)')
    p.add_argument('--work-dir', help='output folder (default: work_dirs/NAME_OF_THE_CONFIG)')
    p.add_argument('--launcher', default='none', help='none, pytorch (torchrun), slurm or mpi (%(default)s)')
    p.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)  # old launchers pass it
    return p


def parse_and_run(p: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None]) -> None:
    """Parses the command line before anything of eca_mm is imported, which takes seconds, and runs a tool with it."""
    p.add_argument('--traceback', action='store_true', help='show where an error came up')
    a = p.parse_args()
    with uninterrupted_imports():
        from eca_mm.cli import run_tool

    run_tool(partial(main, a))
