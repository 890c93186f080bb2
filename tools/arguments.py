"""The arguments that the tools share."""

import argparse

from mmengine.config import DictAction


def parser(description: str | None) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('config', help='a file of configs/')
    p.add_argument('--data-root', help='root of the dataset (default: COCO_ROOT or IMAGENET_ROOT, or data/coco, ...)')
    p.add_argument('--work-dir', help='output folder (default: work_dirs/NAME_OF_THE_CONFIG)')
    p.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='changes to the config by dotted key'
    )
    p.add_argument('--launcher', default='none', help='none, pytorch (torchrun), slurm or mpi (%(default)s)')
    p.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)  # old launchers pass it
    return p
