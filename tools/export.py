#!/usr/bin/env python
"""Exports a network for other runtimes and proves that it computes the same there, or publishes a checkpoint.

tools/export.py configs/imagenet/eca_resnet50.py epoch_100.pth eca_resnet50.onnx --dynamic
tools/export.py configs/imagenet/eca_resnet50.py epoch_100.pth eca_resnet50.pt2 --part backbone --batch 8
tools/export.py configs/faster_rcnn_eca_r50_fpn_1x.py epoch_12.pth rpn.onnx --part dense --size 800 1344
tools/export.py configs/imagenet/eca_resnet50.py epoch_100.pth checkpoints --release
"""

from arguments import parser

from eca_mm.cli import run_tool
from eca_mm.engine import load_config
from eca_mm.export import ExportSettings, export, release
from eca_mm.export.formats import FORMATS
from eca_mm.export.exported_part import PARTS

OF_EXPORTS = ('format', 'part', 'size', 'batch', 'dynamic', 'tolerance', 'rounds')  # which a release ignores


def main() -> None:
    p = parser(__doc__)
    p.add_argument('checkpoint', help="a file, or 'none' for random weights")
    p.add_argument('dst', help='the new file; with --release a folder')
    p.add_argument('--format', choices=FORMATS, help="(default: by the file's suffix: .onnx, .pt2, .ts or .pt)")
    p.add_argument('--part', choices=PARTS, default='model', help='detectors: dense at most (%(default)s)')
    p.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='of the images (224 224; detectors 800 1344)')
    p.add_argument('--batch', type=int, default=ExportSettings.batch, help='number of images (%(default)s)')
    p.add_argument('--dynamic', action='store_true', help='leave batch and size free')
    p.add_argument(
        '--tolerance',
        type=float,
        default=ExportSettings.tolerance,
        help='greatest difference of an output, as a part of its greatest value (%(default)s)',
    )
    p.add_argument('--rounds', type=int, default=ExportSettings.rounds, help='of timing, 0 for none (%(default)s)')
    p.add_argument('--force', action='store_true', help='write over what exists')
    p.add_argument('--release', action='store_true', help='publish the checkpoint: strip, name by hash, describe')
    a = p.parse_args()
    if a.release:
        idle = [f'--{name}' for name in OF_EXPORTS if getattr(a, name) != p.get_default(name)]
        if idle:
            p.error(f'--release does not export a network: leave out {", ".join(idle)}')
        if a.cfg_options:
            p.error('--release describes the config as its file has it: write a file with the changes of --cfg-options')
    cfg = load_config(a.config, cfg_options=a.cfg_options)
    if a.release:
        print(release(cfg, a.checkpoint, a.dst, force=a.force))
        return
    size = tuple(a.size) if a.size else None
    settings = ExportSettings(a.format, a.part, size, a.batch, a.dynamic, a.tolerance, a.rounds, a.force)
    print(export(cfg, a.checkpoint, a.dst, settings))


if __name__ == '__main__':
    run_tool(main)
