"""Converts weights of other libraries for the networks here, and back.

tools/convert_checkpoint.py eca_resnet50_k3557.pth.tar checkpoints/eca_resnet50.pth
tools/convert_checkpoint.py torchvision://resnet50 resnet50.safetensors --to backbone
tools/convert_checkpoint.py work_dirs/eca_resnet50/epoch_100.pth for_timm.pth --to timm
"""

import argparse

from eca_mm.cli.arguments import tool_parser


def make_parser() -> argparse.ArgumentParser:
    p = tool_parser(__doc__)
    p.add_argument(
        'src', metavar='SRC', help='a .pth, .pth.tar or .safetensors file, a URL, timm://NAME, or a known name'
    )
    p.add_argument('dst', metavar='DST', help='the file to write: .pth or .safetensors')
    p.add_argument(
        '--source',
        help='authors, timm, torchvision, mmpretrain, mmdet, mmdet1 or backbone (default: recognised by the keys)',
    )
    p.add_argument(
        '--to',
        help='mmpretrain, timm, torchvision or backbone (default: mmpretrain; mmdet for a detector of MMDetection 1.x)',
    )
    p.add_argument(
        '--entry', metavar='KEY', help='the weights in the checkpoint (default: state_dict, model, or all of it)'
    )
    p.add_argument(
        '--style', help="of a ResNet's bottlenecks: pytorch or caffe (default: as the file's config, or else pytorch)"
    )
    p.add_argument('--force', action='store_true', help='write over DST')
    return p


def run(a: argparse.Namespace) -> None:
    from eca_mm.convert import convert_checkpoint

    made = convert_checkpoint(a.src, a.dst, source=a.source, to=a.to, entry=a.entry, style=a.style, force=a.force)
    print(f'{made}\nwritten: {a.dst}')
    if (config := made.config(a.dst)) != made.code:
        print(f'\nA config for it, to be saved and run:\n\n{config}')
