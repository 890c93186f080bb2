"""Measures speed and memory: the models of Table 2 in turns, as ratios to the networks without attention.

tools/benchmark.py
tools/benchmark.py imagenet/eca_resnet50 timm/ecaresnet50 --device cuda --batch 256 --amp --channels-last
tools/benchmark.py imagenet/eca_resnet50 imagenet/eca_resnet50@layers --modes train finetune inference
tools/benchmark.py faster_rcnn_eca_r50_fpn_1x --batch 1 --rounds 5
tools/benchmark.py --everything
"""

import argparse

from eca_mm.cli.arguments import tool_parser


def make_parser() -> argparse.ArgumentParser:
    p = tool_parser(__doc__)
    p.add_argument('names', nargs='*', metavar='NAME', help='configs of Tables 2 and 4, or timm/resnet50 and its like')
    p.add_argument('--detectors', action='store_true', help='without names: Table 4 too')
    p.add_argument('--no-peers', dest='peers', action='store_false', help="without names: leave timm's networks out")
    p.add_argument(
        '--everything',
        action='store_true',
        help='all measurements of docs/speed.md, beside which stand only --device, --rounds and --out',
    )
    # What is not given is as in BenchmarkSettings, or as --everything has it.
    p.add_argument(
        '--modes',
        nargs='+',
        choices=('train', 'finetune', 'inference'),
        help='(train inference); finetune: training with norms on their running statistics, as in detectors',
    )
    p.add_argument('--rounds', type=int, help='turns of each model (20, with --everything 15)')
    p.add_argument('--iterations', type=int, help='batches in a turn (5)')
    p.add_argument('--batch', type=int, help='images in a batch (8)')
    p.add_argument('--size', type=int, help='height and width of the images (224, detectors 800 x 1333)')
    p.add_argument('--device', choices=('cpu', 'cuda'), help='(cuda, if there is a GPU)')
    p.add_argument(
        '--amp', action='store_const', const=True, help='mixed precision: float16 on a GPU, bfloat16 on a CPU'
    )
    p.add_argument('--channels-last', action='store_const', const=True, help='memory format of weights and images')
    p.add_argument('--compile', action='store_const', const=True, help='torch.compile')
    p.add_argument('--threads', type=int, help="of torch on the CPU (torch's default)")
    p.add_argument('--out', default='work_dirs/benchmark', help='a folder or a .csv file (%(default)s)')
    p.add_argument('--force', action='store_true', help='write over a .csv file that exists')
    return p


def run(a: argparse.Namespace) -> None:
    from dataclasses import fields

    import torch

    from eca_mm.analysis.speed import benchmark
    from eca_mm.analysis.workload import BenchmarkSettings
    from eca_mm.errors import UserError
    from eca_mm.paper.benchmark_models import benchmark_models, everything

    if a.names and (a.detectors or not a.peers):
        raise UserError('--detectors and --no-peers choose among all models: leave them out beside names')
    given = {f.name: value for f in fields(BenchmarkSettings) if (value := getattr(a, f.name)) is not None}
    chosen = a.names or a.detectors or not a.peers or given.keys() - {'device', 'rounds'}
    if a.everything and (chosen or a.out.endswith('.csv')):
        raise UserError(
            '--everything measures its own models with its own settings into a folder: leave out all but --device, '
            '--rounds and --out FOLDER'
        )
    given.setdefault('device', 'cuda' if torch.cuda.is_available() else 'cpu')
    if a.everything:
        for models, settings in everything(**given):
            print(report := benchmark(models, settings, a.out))
            print(f'written: {report.file}')
        return
    models, settings = benchmark_models(a.names, detectors=a.detectors, peers=a.peers), BenchmarkSettings(**given)
    report = benchmark(models, settings, a.out, force=a.force)
    print(report)
    print(f'written: {report.file}')
