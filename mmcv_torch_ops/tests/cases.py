"""What is compared between compiled mmcv and the stand-in: calls of ``mmcv.ops`` whose inputs are the same everywhere.

Each case returns named arrays. Inputs come from numpy's uniform numbers and sums of them, the same bits on every machine.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from mmcv import ops

CASES: dict[str, Callable[[], dict[str, np.ndarray]]] = {}
# Matrix products are summed in another order on another CPU, or where torchvision multiplies several images at once.
# mmcv's softnms calls expf, which is not the same everywhere; RoIAlign by maximum adds up its gradient in another order.
TOLERANCE = {
    'deform': (1e-5, 1e-5),
    'half_deform': (4e-3, 2e-2),
    'soft_nms_gaussian': (1e-6, 0),
    'roi_align_max': (0, 1e-6),
}


def tolerance(case):
    """(rtol, atol) of a case's floating-point results; zeros where every bit is compared, as all indices are."""
    return next((value for key, value in TOLERANCE.items() if case.startswith(key)), (0, 0))


def case(name, **arguments):
    def register(function):
        CASES[name] = partial(function, **arguments)
        return function

    return register


def uniform(seed, *shape, low=0.0, high=1.0, dtype=torch.float32):
    """Multiples of 2^-12, exact in every type and product."""
    values = np.random.default_rng(seed).random(shape)
    return torch.from_numpy(np.floor((low + values * (high - low)) * 4096) / 4096).to(torch.empty(0).device, dtype)


def boxes(seed, count, size=64.0):
    corner, sides = uniform(seed, count, 2, high=size * 0.8), uniform(seed + 1, count, 2, low=1, high=size * 0.4)
    return torch.cat((corner, corner + sides), dim=1)


def regions(seed, count, images, size=64.0):
    return torch.cat((torch.arange(count)[:, None] % images, boxes(seed, count, size)), dim=1)


def arrays(**tensors):
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


@case('nms', count=150)
@case('nms_empty', count=0)
@case('nms_offset', count=150, offset=1)
@case('nms_offset_empty', count=0, offset=1)
@case('nms_scores', count=150, score_threshold=0.3, max_num=20)
@case('nms_ties', count=150, levels=4)
def nms(count, levels=None, **arguments):
    scores = uniform(3, count)
    if levels:
        scores = (scores * levels).round() / levels
    dets, kept = ops.nms(boxes(1, count), scores, 0.3, **arguments)
    return arrays(dets=dets, kept=kept)


@case('nms_thresholds')
def nms_at_the_threshold():
    """Two boxes with an IoU that is the float32 nearest to the threshold: neither 0.6 nor 0.1 is that number."""
    kept = {}
    for tenths in range(1, 10):
        pair = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, tenths]])
        kept[f'kept{tenths}'] = ops.nms(pair, torch.tensor([0.9, 0.8]), tenths / 10)[1]
    return arrays(**kept)


@case('batched_nms', split_thr=10000)
@case('batched_nms_split', split_thr=50)
def batched_nms(split_thr):
    labels = torch.arange(200) % 3
    dets, kept = ops.batched_nms(
        boxes(1, 200), uniform(3, 200), labels, {'type': 'nms', 'iou_threshold': 0.5, 'split_thr': split_thr}
    )
    return arrays(dets=dets, kept=kept)


for method in ('naive', 'linear', 'gaussian'):

    @case(f'soft_nms_{method}', method=method)
    @case(f'soft_nms_{method}_ties_offset', method=method, levels=3, offset=1, min_score=0.2)
    def soft_nms(method, levels=None, **arguments):
        scores = uniform(3, 120)
        if levels:
            scores = (scores * levels).round() / levels
        dets, kept = ops.soft_nms(boxes(1, 120), scores, 0.3, method=method, **arguments)
        return arrays(dets=dets, kept=kept)


@case('soft_nms_empty')
def soft_nms_empty():
    dets, kept = ops.soft_nms(boxes(1, 0), uniform(3, 0))
    return arrays(dets=dets, kept=kept)


@case('nms_match')
def nms_match():
    dets = torch.cat((boxes(1, 100), uniform(3, 100, 1)), dim=1)
    groups = ops.nms_match(dets, 0.4)
    return arrays(groups=torch.cat(groups), lengths=torch.tensor([len(group) for group in groups]))


def roi_case(layer, dtype=torch.float32, count=5, edge=False):
    features = uniform(7, 2, 3, 13, 17, low=-1, dtype=dtype).requires_grad_()
    rois = regions(8, count, 2).to(dtype)
    if edge:  # outside on both sides, without area, of the whole map
        rois = torch.tensor([[0, -30, -20, 5, 9], [1, 60, 50, 90, 70], [0, 8, 8, 8, 8], [1, 0, 0, 68, 52]], dtype=dtype)
    output = layer(features, rois)
    output.backward(uniform(9, *output.shape, dtype=dtype))
    return arrays(output=output, gradient=features.grad)


for aligned in (False, True):
    for ratio in (0, 2):
        name = f'roi_align_{"aligned" if aligned else "legacy"}_{ratio}'
        for suffix, arguments in {'': {}, '_empty': {'count': 0}, '_edge': {'edge': True}}.items():
            CASES[name + suffix] = partial(roi_case, ops.RoIAlign((3, 4), 0.25, ratio, aligned=aligned), **arguments)
CASES['roi_align_double'] = partial(roi_case, ops.RoIAlign((3, 4), 0.1, 2), dtype=torch.float64)
CASES['half_roi_align'] = partial(roi_case, ops.RoIAlign((3, 4), 0.25, 2), dtype=torch.float16)
for ratio in (0, 2):
    layer = ops.RoIAlign((3, 4), 0.25, ratio, pool_mode='max')
    CASES[f'roi_align_max_{ratio}'] = partial(roi_case, layer)
    CASES[f'roi_align_max_{ratio}_edge'] = partial(roi_case, layer, edge=True)


@case('deform_v1')
@case('deform_v1_groups', groups=2, deform_groups=2, stride=2, padding=(1, 2), dilation=(1, 2))
@case('deform_v1_frozen_input', frozen=('x',))
@case('deform_v1_only_weight', frozen=('x', 'offset'))
@case('deform_v2', modulated=True)
@case('deform_v2_groups', modulated=True, groups=2, deform_groups=2, stride=2, padding=1, bias=False)
@case('deform_v1_zero_offset', reach=0)
@case('deform_v1_zero_offset_groups', reach=0, deform_groups=2, stride=(2, 1), padding=(1, 2), dilation=(1, 2))
@case('deform_v2_zero_offset', reach=0, modulated=True)
@case('deform_v2_large_offset', modulated=True, larger=(3, 2))
@case('half_deform_v1', dtype=torch.float16)
@case('half_deform_v2', modulated=True, dtype=torch.float16)
@case('deform_double', dtype=torch.float64, modulated=True)
def deform(
    modulated=False,
    groups=1,
    deform_groups=1,
    bias=True,
    frozen=(),
    reach=3,
    larger=(0, 0),
    dtype=torch.float32,
    **geometry,
):
    geometry = {'stride': 1, 'padding': 1, 'dilation': 1, **geometry}
    tensors = {
        'x': uniform(1, 2, 4, 5, 7, low=-1, dtype=dtype),
        'weight': uniform(2, 6, 4 // groups, 3, 3, low=-1, dtype=dtype),
    }
    height, width = torch.nn.functional.conv2d(
        tensors['x'].float(), tensors['weight'].float(), groups=groups, **geometry
    ).shape[2:]
    height, width = height + larger[0], width + larger[1]
    tensors['offset'] = uniform(3, 2, 18 * deform_groups, height, width, low=-reach, high=reach, dtype=dtype)
    if modulated:
        tensors['mask'] = uniform(4, 2, 9 * deform_groups, height, width, dtype=dtype)
        tensors['bias'] = uniform(5, 6, dtype=dtype)
    for name, tensor in tensors.items():
        tensor.requires_grad_(name not in frozen)
    common = (*geometry.values(), groups, deform_groups)
    if modulated:
        bias = tensors['bias'] if bias else None
        output = ops.modulated_deform_conv2d(
            *(tensors[key] for key in ('x', 'offset', 'mask', 'weight')), bias, *common
        )
    else:
        output = ops.deform_conv2d(*(tensors[key] for key in ('x', 'offset', 'weight')), *common)
    output.backward(uniform(6, *output.shape, low=-1, dtype=dtype))
    gradients = {f'grad_{name}': tensor.grad for name, tensor in tensors.items() if tensor.grad is not None}
    return arrays(output=output, **gradients)


for mode in ('iou', 'iof'):
    for aligned in (False, True):
        for offset in (0, 1):

            @case(f'bbox_overlaps_{mode}_{aligned}_{offset}', mode=mode, aligned=aligned, offset=offset)
            def bbox_overlaps(**arguments):
                second = boxes(3, 20 if arguments['aligned'] else 15)
                return arrays(ious=ops.bbox_overlaps(boxes(1, 20), second, **arguments))


@case('bbox_overlaps_empty')
def bbox_overlaps_empty():
    return arrays(ious=ops.bbox_overlaps(boxes(1, 0), boxes(3, 4)))
