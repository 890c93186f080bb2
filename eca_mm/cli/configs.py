"""Lists the configs of the package: name, row of the paper's tables, and the weights that the backbone starts from.

eca-mm configs
eca-mm configs mask_rcnn           # those with this in their names
eca-mm train faster_rcnn_eca_r50_fpn_shapes
"""

import argparse

from eca_mm.cli.arguments import tool_parser


def make_parser() -> argparse.ArgumentParser:
    p = tool_parser(__doc__)
    p.add_argument('part', nargs='?', default='', help='list the names that contain this')
    return p


def run(a: argparse.Namespace) -> None:
    from eca_mm.checkpoints.known import released_weights
    from eca_mm.configs import describe_configs
    from eca_mm.errors import UserError

    configs = [config for config in describe_configs() if a.part in config.name]
    if not configs:
        raise UserError(f'no config of the package has {a.part!r} in its name: eca-mm configs lists all')
    for name, title, weights in configs:
        print(f'{name}\n    {title}')
        if weights:
            print(f'    starts from {weights}')
        if released := released_weights((weights or name).rpartition('/')[2].removesuffix('.pth')):
            print(f"    the authors' weights: {released}")
