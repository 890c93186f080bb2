#!/usr/bin/env python
"""Measures speed and memory: the models of Table 2 in turns, as ratios to the networks without attention.

tools/benchmark.py
tools/benchmark.py imagenet/eca_resnet50 timm/ecaresnet50 --device cuda --batch 256 --amp --channels-last
tools/benchmark.py faster_rcnn_eca_r50_fpn_1x --batch 1 --rounds 5
"""

import argparse

import torch

from eca_mm.analysis.speed import benchmark
from eca_mm.analysis.workload import MODES, BenchmarkSettings
from eca_mm.cli import run_tool
from eca_mm.paper.benchmark_models import benchmark_models


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', metavar='NAME', help='configs of Tables 2 and 4, or timm/resnet50 and its like')
    p.add_argument('--detectors', action='store_true', help='without names: Table 4 too')
    p.add_argument('--no-peers', dest='peers', action='store_false', help="without names: leave timm's networks out")
    p.add_argument('--modes', nargs='+', choices=MODES, default=MODES, help='(default: both)')
    p.add_argument('--rounds', type=int, default=BenchmarkSettings.rounds, help='turns of each model (%(default)s)')
    p.add_argument(
        '--iterations', type=int, default=BenchmarkSettings.iterations, help='batches in a turn (%(default)s)'
    )
    p.add_argument('--batch', type=int, default=BenchmarkSettings.batch, help='images in a batch (%(default)s)')
    p.add_argument('--size', type=int, help='height and width of the images (224, detectors 800)')
    p.add_argument('--device', choices=('cpu', 'cuda'), default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('--amp', action='store_true', help='mixed precision: float16 on a GPU, bfloat16 on a CPU')
    p.add_argument('--channels-last', action='store_true', help='memory format of weights and images')
    p.add_argument('--compile', action='store_true', help='torch.compile')
    p.add_argument('--threads', type=int, help="of torch on the CPU (torch's default)")
    p.add_argument('--out', default='work_dirs/benchmark', help='a folder or a .csv file (%(default)s)')
    p.add_argument('--force', action='store_true', help='write over a .csv file that exists')
    p.add_argument('--traceback', action='store_true', help='show where an error came up')
    a = vars(p.parse_args())
    if a['names'] and (a['detectors'] or not a['peers']):
        p.error('--detectors and --no-peers choose among all models: leave them out beside names')
    a.pop('traceback')
    models = benchmark_models(a.pop('names'), detectors=a.pop('detectors'), peers=a.pop('peers'))
    report = benchmark(models, out=a.pop('out'), force=a.pop('force'), settings=BenchmarkSettings(**a))
    print(report)
    print(f'written: {report.file}')


if __name__ == '__main__':
    run_tool(main)
