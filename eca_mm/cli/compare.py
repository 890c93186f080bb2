"""Compares attention layers: each in the slot of one network, by one recipe, with several seeds. Resumable.

tools/compare.py                                             # on small pictures of shapes, 40 minutes of one CPU core
tools/compare.py --layers plain SE ECA ECA:kernel_size=9 CBAM --seeds 0 1 2
tools/compare.py configs/comparison/cifar100.py              # downloads CIFAR-100
tools/compare.py configs/comparison/folder.py --data-root data/pets --cfg-options train_cfg.max_epochs=30
"""

import argparse
from functools import partial
from pathlib import Path

from eca_mm.cli.arguments import add_options, tool_parser


def make_parser() -> argparse.ArgumentParser:
    p = tool_parser(__doc__)
    p.add_argument(
        'config', nargs='?', help='a classifier with an attention slot (default: configs/comparison/shapes.py)'
    )
    p.add_argument(
        '--layers',
        nargs='+',
        default=('plain', 'SE', 'ECA-NS', 'ECA'),
        metavar='NAME[:KEY=VALUE,...]',
        help='what is compared with the first of them (%(default)s)',
    )
    p.add_argument('--seeds', type=int, nargs='+', default=range(5), help='(0 1 2 3 4)')
    p.add_argument('--data-root', help='root of the dataset')
    p.add_argument('--work-dir', help='of runs and page (default: work_dirs/comparison_NAME_OF_THE_CONFIG)')
    add_options(p)
    return p


def run(a: argparse.Namespace) -> None:
    from eca_mm.configs import find_config
    from eca_mm.engine import load_config
    from eca_mm.paper.comparison import compare
    from eca_mm.paper.report.comparison import write_comparison
    from eca_mm.paper.reproduce import environment

    config = find_config(a.config or 'comparison/shapes')
    load = partial(load_config, config, data_root=a.data_root, cfg_options=a.cfg_options)
    folder = Path(a.work_dir or f'work_dirs/comparison_{config.stem}')
    results = compare(load, a.layers, a.seeds, folder)
    table, files = write_comparison(results, folder, f'Attention layers on {config.stem}', environment())
    print(f'\n{table}\n\nwritten:', *files)
