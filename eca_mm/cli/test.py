"""Tests a checkpoint: metrics on screen and in metrics.json.

tools/test.py configs/faster_rcnn_eca_r50_fpn_shapes.py work_dirs/faster_rcnn_eca_r50_fpn_shapes/epoch_3.pth
"""

import argparse

from eca_mm.cli.arguments import run_parser


def make_parser() -> argparse.ArgumentParser:
    p = run_parser(__doc__)
    p.add_argument('checkpoint', help='a file or URL')
    p.add_argument('--out', metavar='PREFIX', help="write predictions in COCO's result format: PREFIX.bbox.json, ...")
    p.add_argument('--fuse', action='store_true', help='fold batch norms and compute gates early (docs/speed.md)')
    p.add_argument('--tta', action='store_true', help="test-time augmentation: the config's tta_model, or else a flip")
    return p


def run(a: argparse.Namespace) -> None:
    from mmengine.dist import is_main_process

    from eca_mm.engine import evaluate, load_config

    cfg = load_config(a.config, data_root=a.data_root, work_dir=a.work_dir, cfg_options=a.cfg_options)
    metrics = evaluate(cfg, a.checkpoint, out=a.out, launcher=a.launcher, fuse=a.fuse, tta=a.tta)
    if is_main_process():
        for name, value in metrics.items():
            print(f'{name:<24} {value:.4f}')
        print(f'written: {cfg.work_dir}/metrics.json' if metrics else 'no metrics: nothing at all was detected')
