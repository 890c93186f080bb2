"""Arguments of a ResNet: checks, defaults, and what serves mmdet's and mmpretrain's own tools."""

from collections.abc import Mapping, Sequence
from typing import Any

from eca_mm.checkpoints.attention import per_stage
from eca_mm.errors import UserError

# As in mmpretrain and mmdet.
INITIALIZATION = [
    dict(type='Kaiming', layer=['Conv2d']),
    dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
]


def block_counts(
    depth: int,
    stage_blocks: Sequence[int] | None,
    depths: Mapping[int, tuple[int, Sequence[int]]],
    blocks: Mapping[int, type],
) -> tuple[int, tuple[int, ...]]:
    """Return the convolutions of a block, and the number of blocks in each stage.

    Args:
        depth: Of the network.
        stage_blocks: Number of blocks in each stage, or None for those of the depth.
        depths: Depth -> convolutions of a block, blocks of each stage.
        blocks: Convolutions of a block -> the block.

    Raises:
        UserError: If the depth is unknown, or is not the one that the blocks give.

    >>> block_counts(50, (1, 1, 11, 3), {}, {2: object, 3: object})
    (3, (1, 1, 11, 3))
    """
    if stage_blocks is None:
        if depth not in depths:
            raise UserError(f'depth must be one of {sorted(depths)}, got {depth!r}; other depths need stage_blocks')
        convs, counts = depths[depth]
        return convs, tuple(counts)
    if not isinstance(stage_blocks, (list, tuple)) or any(type(n) is not int or n < 1 for n in stage_blocks):
        raise UserError(f'stage_blocks must be positive integers, one per stage, got {stage_blocks!r}')
    of_depth = {2 + convs * sum(stage_blocks): convs for convs in blocks}
    if depth not in of_depth:
        ways = ' or '.join(f'{d} with {blocks[convs].__name__}' for d, convs in of_depth.items())
        raise UserError(f'stage_blocks={tuple(stage_blocks)!r} need depth={ways}, got {depth!r}')
    return of_depth[depth], tuple(stage_blocks)


def check(
    num_stages: Any,
    most: int,
    strides: Any,
    dilations: Any,
    out_indices: Any,
    frozen_stages: Any,
    style: Any,
    deep_stem: Any,
    fused: Any,
) -> None:
    """Raise a UserError for a value that no ResNet has."""
    if num_stages not in range(1, most + 1):
        raise UserError(f'num_stages must be 1 to {most}, got {num_stages!r}')
    per_stage('strides', strides, num_stages)
    per_stage('dilations', dilations, num_stages)
    stages = range(num_stages)
    if not isinstance(out_indices, Sequence) or not out_indices or any(i not in stages for i in out_indices):
        raise UserError(f'out_indices must be stages from 0 to {num_stages - 1}, got {out_indices!r}')
    if frozen_stages not in range(-1, num_stages + 1):
        raise UserError(f'frozen_stages must be -1 (none), 0 (the stem) or 1 to {num_stages}, got {frozen_stages!r}')
    check_style(style)
    if deep_stem not in (True, False, 'tiered'):
        raise UserError(f"deep_stem must be True, False or 'tiered', got {deep_stem!r}")
    check_fused(fused)


def check_style(style: Any) -> None:
    if style not in ('pytorch', 'caffe'):
        raise UserError(f"style must be 'pytorch' or 'caffe', got {style!r}")


def check_fused(fused: Any) -> None:
    if fused not in (True, False):
        why = ': the Triton kernels are gone, as they never ran on a GPU (docs/speed.md)' * (fused == 'triton')
        raise UserError(f'fused must be True or False, got {fused!r}{why}')


def mmdet_settings(
    stage: int, num_stages: int, dcn: Any, stage_with_dcn: Any, plugins: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Return the arguments of the blocks in a stage that only mmdet has: deformable convolutions and plugins."""
    settings: dict[str, Any] = {}
    if dcn is not None and per_stage('stage_with_dcn', stage_with_dcn, num_stages)[stage]:
        if dcn.get('fallback_on_stride'):
            raise UserError('dcn: fallback_on_stride=True is not supported, leave it out')
        settings['dcn'] = {key: value for key, value in dcn.items() if key != 'fallback_on_stride'}
    if plugins:
        used = [per_stage('stages of a plugin', p.get('stages') or True, num_stages)[stage] for p in plugins]
        settings['plugins'] = [plugin for plugin, use in zip(plugins, used, strict=True) if use]
    return settings


def layer_depth(stage_blocks: Sequence[int], name: str, prefix: str) -> tuple[int, int]:
    """Return the layer of a parameter, and the number of layers: the stem, stages 1 and 4, and parts of the others.

    The parts of stages 2 and 3 have 2 and 3 blocks in ResNet-50 and 101, 4 and 4 in 152 and 200, 5 and 6 in 269.

    >>> layer_depth((3, 4, 6, 3), 'backbone.layer3.4.conv1.weight', 'backbone.')
    (5, 8)
    """
    sizes = (5, 6) if stage_blocks[1] > 24 else (4, 4) if stage_blocks[2] > 23 else (2, 3)
    second, third = (-(-count // size) for count, size in zip(stage_blocks[1:3], sizes, strict=True))
    last = 2 + second + third
    if not name.startswith(prefix):  # the head
        return last + 1, last + 2
    if not name.startswith('backbone.layer'):
        return 0, last + 2
    stage, block = (int(part) for part in name.removeprefix('backbone.layer').split('.')[:2])
    layers = {1: 1, 2: 2 + block // sizes[0], 3: 2 + second + block // sizes[1]}
    return layers.get(stage, last), last + 2
