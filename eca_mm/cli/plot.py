"""Draws the paper's figures from our networks and results: PNG, SVG or PDF, and the numbers as .npz beside it.

tools/plot.py gap configs/imagenet/eca_resnet50.py epoch_100.pth images --out gap.png
tools/plot.py weights configs/imagenet/se_resnet50.py se.pth images --below configs/imagenet/eca_resnet50.py eca.pth
tools/plot.py ksize --work-dirs work_dirs --out ksize.pdf
tools/plot.py bubble --out bubble.svg
tools/plot.py curves work_dirs/eca_resnet50 work_dirs/resnet50 --key accuracy/top1 --out curves.png
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from eca_mm.cli.arguments import add_options, tool_parser
from eca_mm.cli.flags import name_flags

TABLES = {'ksize': 'figure4', 'bubble': 'table2'}


def make_parser() -> argparse.ArgumentParser:
    p = tool_parser(__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--out', metavar='FILE', help='a .png, .svg or .pdf (default: NAME_OF_THE_FIGURE.png)')
    common.add_argument('--force', action='store_true', help='write over files that exist')
    common.add_argument(
        '--traceback', action='store_true', default=argparse.SUPPRESS, help='show where an error came up'
    )
    network = argparse.ArgumentParser(add_help=False, parents=[common])
    network.add_argument('config', help='a file of configs/')
    network.add_argument('checkpoint', help='a file or URL')
    network.add_argument('images', help='an image, a folder of images, or one of folders named by their classes')
    add_options(network)
    network.add_argument('--device', help='cpu, cuda:0, ... (default: the first GPU, or else the CPU)')
    figures = p.add_subparsers(dest='figure', required=True, metavar='FIGURE')
    gap = figures.add_parser('gap', parents=[network], help='Figure 6: what is pooled before the attention, by channel')
    gap.add_argument('--layers', nargs='+', help="blocks, as conv_2_3, or modules (default: the paper's, or all)")
    weights = figures.add_parser('weights', parents=[network], help='Figure 7: weights of the channels by class')
    weights.add_argument('--below', nargs=2, metavar=('CONFIG', 'CHECKPOINT'), help='another network, below the first')
    for name, text in (('ksize', 'Figure 4: accuracy by kernel size'), ('bubble', 'Figure 1: accuracy by FLOPs')):
        of_table = figures.add_parser(name, parents=[common], help=text)
        of_table.add_argument('--work-dirs', type=Path, help='a folder whose NAME/metrics.json are our accuracies')
    curves = figures.add_parser('curves', parents=[common], help='a number of several runs as it went')
    curves.add_argument('runs', nargs='+', help='work directories')
    curves.add_argument('--key', default='loss', help='which, as in the log: loss, accuracy/top1, ... (%(default)s)')
    return p


def run(a: argparse.Namespace) -> None:
    from eca_mm.analysis.figure import check_figure, save_figure
    from eca_mm.analysis.plots import LAYERS, draw_curves, draw_pooling, draw_weights, name_networks

    file = check_figure(a.out or f'{a.figure}.png', force=a.force)
    if a.figure == 'curves':
        figure, numbers = draw_curves(a.runs, a.key)
    elif a.figure in TABLES:
        from eca_mm.paper.accuracy import measure_work_dirs
        from eca_mm.paper.report.figures import draw_table
        from eca_mm.paper.reproduce import measurers_without_data, reproduce, select_tables

        measurers = [measure for of_kind in measurers_without_data().values() for measure in of_kind]
        if a.work_dirs:
            measurers.append(partial(measure_work_dirs, folder=a.work_dirs))
        cells, problems = reproduce(select_tables([TABLES[a.figure]]), measurers)
        figure, numbers = draw_table(cells)
        for problem in problems:
            print(f'error: {name_flags(problem)}', file=sys.stderr)
    else:
        from eca_mm.analysis.channels import attention_taps, blocks, collect, find_labelled, pooling_taps
        from eca_mm.engine import load_config, load_model

        def load(config: str, checkpoint: str):  # type: ignore[no-untyped-def]
            return load_model(load_config(config, cfg_options=a.cfg_options), checkpoint, device=a.device)

        images, model = find_labelled(a.images), load(a.config, a.checkpoint)
        if a.figure == 'gap':
            names = a.layers or (LAYERS if blocks(model).keys() >= set(LAYERS) else list(blocks(model)))
            figure, numbers = draw_pooling(collect(model, images, pooling_taps(model, names)))
        else:
            models = [model, *([load(*a.below)] if a.below else [])]
            names = name_networks([(a.config, a.checkpoint), *([tuple(a.below)] if a.below else [])])
            found = [collect(network, images, attention_taps(network)) for network in models]
            figure, numbers = draw_weights(dict(zip(names, found, strict=True)))
    print('written:', *save_figure(figure, file, numbers))
