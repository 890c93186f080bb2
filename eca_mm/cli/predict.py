"""Predicts on an image or a folder of images: annotated copies and JSON.

tools/predict.py configs/mask_rcnn_eca_r50_fpn_1x.py epoch_12.pth street.jpg --out-dir predictions
tools/predict.py configs/imagenet/eca_resnet50.py epoch_100.pth dog.jpg --cam backbone.layer4
tools/predict.py detector.onnx street.jpg --out-dir predictions   # of tools/export.py; without torch
"""

import argparse

from eca_mm.cli.arguments import config_parser
from eca_mm.errors import UserError


def make_parser() -> argparse.ArgumentParser:
    p = config_parser(__doc__)
    p.add_argument('checkpoint', help='a file or URL; none after detector.onnx')
    p.add_argument('images', nargs='*', help='an image, or a folder of images; with detector.onnx several')
    p.add_argument('--out-dir', default='predictions', help='output folder (%(default)s)')
    p.add_argument('--threshold', type=float, default=0.3, help='least score of a drawn box (%(default)s)')
    p.add_argument('--cam', metavar='LAYER', help='draw the class activation map of a layer, such as backbone.layer4')
    p.add_argument('--device', help='cpu, cuda:0, ... (default: the first GPU, or else the CPU)')
    p.add_argument('--fuse', action='store_true', help='fold batch norms and compute gates early (docs/speed.md)')
    return p


def run(a: argparse.Namespace) -> None:
    if a.config.endswith('.onnx'):
        run_exported(a)
        return
    if len(a.images) != 1:
        raise UserError(
            f'a config, a checkpoint and an image or a folder are needed, got {len(a.images)} images: name one'
        )
    from eca_mm.engine import find_images, load_config, load_model, predict
    from eca_mm.models import fuse_for_inference

    cfg, files = load_config(a.config, cfg_options=a.cfg_options), find_images(a.images[0])
    model = load_model(cfg, a.checkpoint, device=a.device)
    model = fuse_for_inference(model) if a.fuse else model
    found = predict(model, files, a.out_dir, threshold=a.threshold, cam=a.cam)
    print(f'{len(found)} images: pictures and JSON in {a.out_dir}')


def run_exported(a: argparse.Namespace) -> None:
    """A whole detector's file, in onnxruntime, with numpy and Pillow."""
    unused = {'--cfg-options': a.cfg_options, '--cam': a.cam, '--device': a.device, '--fuse': a.fuse}
    if given := [name for name, value in unused.items() if value]:
        raise UserError(
            f'{a.config} is an exported detector and runs on the CPU as it is: leave out {", ".join(given)}'
        )
    try:
        from eca_mm.onnx_detector import main
    except ImportError as error:
        raise UserError(f'{error.name} does not import: pip install numpy pillow onnxruntime') from error

    main([a.config, a.checkpoint, *a.images, '--out-dir', a.out_dir, '--threshold', str(a.threshold)])
