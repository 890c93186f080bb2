"""Trains a detector or a classifier.

tools/train.py configs/faster_rcnn_eca_r50_fpn_shapes.py                     # a few minutes, no data needed
tools/train.py configs/faster_rcnn_eca_r50_fpn_1x.py --data-root /data/coco
torchrun --nproc-per-node 4 tools/train.py configs/mask_rcnn_eca_r50_fpn_1x.py --launcher pytorch
"""

import argparse

from eca_mm.cli.arguments import run_parser, uninterrupted_imports
from eca_mm.cli.flags import name_flags


def make_parser() -> argparse.ArgumentParser:
    p = run_parser(__doc__)
    p.add_argument('--resume', nargs='?', const='auto', help='go on from the newest checkpoint, or from the one named')
    p.add_argument(
        '--resume-with-changes',
        action='store_true',
        help="with --resume: take settings that differ from the checkpoint's and make another run",
    )
    p.add_argument(
        '--overwrite', action='store_true', help='remove the checkpoints of an earlier run in the work directory'
    )
    p.add_argument(
        '--checkpoint-every',
        type=float,
        metavar='MINUTES',
        help='write one by time too, beside the training, to resume from',
    )
    p.add_argument('--amp', action='store_true', help='mixed precision (GPU)')
    p.add_argument('--compile', action='store_true', help='torch.compile the training step (takes minutes)')
    p.add_argument('--seed', type=int, help="of weights, sampling and augmentation (default: the config's, or 0)")
    p.add_argument(
        '--skip-unreadable', type=int, default=0, metavar='N', help='go on past at most N images that cannot be read'
    )
    return p


def run(a: argparse.Namespace) -> None:
    with uninterrupted_imports():
        from mmengine.dist import is_main_process

        from eca_mm.engine import load_config, train
        from eca_mm.streams import lenient_streams

    cfg = load_config(a.config, data_root=a.data_root, work_dir=a.work_dir, cfg_options=a.cfg_options)
    summary = train(
        cfg,
        launcher=a.launcher,
        resume=a.resume,
        overwrite=a.overwrite,
        checkpoint_every=a.checkpoint_every,
        amp=a.amp,
        compile=a.compile,
        seed=a.seed,
        skip_unreadable=a.skip_unreadable,
        resume_with_changes=a.resume_with_changes,
    )
    if is_main_process():
        with lenient_streams():  # the run has succeeded
            print(name_flags(str(summary)))
