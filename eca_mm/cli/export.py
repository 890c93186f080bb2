"""Exports a network for other runtimes and proves that it computes the same there, or publishes a checkpoint.

tools/export.py configs/imagenet/eca_resnet50.py epoch_100.pth eca_resnet50.onnx --dynamic
tools/export.py configs/imagenet/eca_resnet50.py epoch_100.pth eca_resnet50.pt2 --part backbone --batch 8
tools/export.py configs/faster_rcnn_eca_r50_fpn_1x.py epoch_12.pth detector.onnx --dynamic --preprocess --images val2017
tools/export.py configs/faster_rcnn_eca_r50_fpn_1x.py epoch_12.pth rpn.onnx --part dense --size 800 1344
tools/export.py configs/imagenet/eca_resnet50.py epoch_100.pth checkpoints --release
"""

import argparse

from eca_mm.cli.arguments import config_parser

# A release has no use for them.
OF_EXPORTS = ('part', 'size', 'batch', 'dynamic', 'preprocess', 'images', 'tolerance', 'rounds', 'fuse')


def make_parser() -> argparse.ArgumentParser:
    p = config_parser(__doc__)
    p.add_argument('checkpoint', help="a file, or 'none' for random weights")
    p.add_argument(
        'dst', help='the new file: .onnx, .pt2 (torch.export), .ts or .pt (TorchScript); with --release a folder'
    )
    p.add_argument('--part', help='detector (of detectors), model (of classifiers), backbone, features or dense')
    p.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="of the images (224 224; detectors: the config's, 800 1344)",
    )
    p.add_argument('--batch', type=int, help='number of images (1)')
    p.add_argument(
        '--dynamic', action='store_true', default=None, help='leave the size free; batch, too, but of detectors'
    )
    p.add_argument(
        '--preprocess',
        action='store_true',
        default=None,
        help='have the file of a detector resize and normalise pictures',
    )
    p.add_argument(
        '--images',
        nargs='+',
        metavar='FILE',
        help="pictures or folders to prove a detector on (8 of the config's data)",
    )
    p.add_argument(
        '--tolerance', type=float, help='greatest difference of an output, as a part of its greatest value (0.0001)'
    )
    p.add_argument('--rounds', type=int, help='of timing, 0 for none (10; whole detectors 3)')
    p.add_argument('--fuse', action='store_true', default=None, help='compute gates early as well (docs/speed.md)')
    p.add_argument('--force', action='store_true', help='write over what exists')
    p.add_argument('--release', action='store_true', help='publish the checkpoint: strip, name by hash, describe')
    return p


def run(a: argparse.Namespace) -> None:
    from eca_mm.engine import load_config
    from eca_mm.errors import UserError
    from eca_mm.export import export, release

    given = {name: getattr(a, name) for name in OF_EXPORTS if getattr(a, name) is not None}
    if a.release and given:
        raise UserError(f'--release does not export a network: leave out {", ".join(f"--{name}" for name in given)}')
    if a.release and a.cfg_options:
        raise UserError(
            '--release describes the config as its file has it: write a file with the changes of --cfg-options'
        )
    cfg = load_config(a.config, cfg_options=a.cfg_options)
    if a.release:
        print(release(cfg, a.checkpoint, a.dst, force=a.force))
    else:
        print(export(cfg, a.checkpoint, a.dst, **given, force=a.force))
