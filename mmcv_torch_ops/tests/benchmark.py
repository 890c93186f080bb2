"""Compare the CPU time of the operators with compiled mmcv's, in turns: ``python tests/benchmark.py [ROUNDS]``.

Needs compiled operators. The sizes are those of Faster R-CNN at 800 x 1216 pixels. A ratio above 1 means that compiled mmcv
is faster. One thread, on a CPU.
"""

import statistics
import sys
import time

import torch
from cases import boxes, regions, uniform
from mmcv import _ext, ops

from mmcv_torch_ops import extension, in_use


def compare(name, call, rounds):
    """Print the median milliseconds with each set of operators, and their ratio."""
    users = [module for name, module in sys.modules.items() if name.startswith('mmcv.ops.')]
    times = {_ext: [], extension: []}
    for _ in range(rounds + 1):
        for module, measured in times.items():
            for user in users:
                if hasattr(user, 'ext_module'):
                    user.ext_module = module
            start = time.process_time()
            call()
            measured.append(1e3 * (time.process_time() - start))
    compiled, ours = (statistics.median(measured[1:]) for measured in times.values())  # the first one warms up
    print(f'{name:36} {compiled:9.2f} {ours:9.2f} {ours / compiled:9.3f}', flush=True)


def compare_both(name, function, inputs, rounds):
    compare(f'{name}, forward', lambda: function(*inputs), rounds)
    output = function(*inputs)
    gradient, wanted = torch.ones_like(output), [value for value in inputs if value.requires_grad]
    compare(f'{name}, backward', lambda: torch.autograd.grad(output, wanted, gradient, retain_graph=True), rounds)


def main(rounds=9):
    if in_use() != 'compiled':
        raise SystemExit("this environment's mmcv has no compiled operators to compare with.")
    torch.set_num_threads(1)
    print(f'{"milliseconds":36} {"compiled":>9} {"this":>9} {"ratio":>9}')
    for count in (1000, 2000, 8000):
        table, scores = boxes(1, count, 1216.0), uniform(3, count)
        compare(f'nms of {count}', lambda t=table, s=scores: ops.nms(t, s, 0.7), rounds)
    table, scores = boxes(1, 1000, 1216.0), uniform(3, 1000)
    compare('nms of 1000, offset 1', lambda: ops.nms(table, scores, 0.7, offset=1), rounds)
    compare('soft_nms of 1000', lambda: ops.soft_nms(table, scores), rounds)
    compare('nms_match of 1000', lambda: ops.nms_match(torch.cat((table, scores[:, None]), dim=1), 0.7), rounds)
    compare('bbox_overlaps 1000 x 1000', lambda: ops.bbox_overlaps(table, table), rounds)
    for stride, count in ((4, 256), (8, 128), (16, 96), (32, 32)):  # 512 regions over the levels
        features = uniform(1, 1, 256, 800 // stride, 1216 // stride).requires_grad_()
        align = ops.RoIAlign(7, 1 / stride, 0)
        compare_both(
            f'roi_align 1/{stride}, {count} regions', align, (features, regions(4, count, 1, 28.0 * stride)), rounds
        )
    x, weight = uniform(1, 2, 64, 50, 76).requires_grad_(), uniform(2, 64, 64, 3, 3).requires_grad_()
    offset, mask = uniform(3, 2, 18, 50, 76, low=-2, high=2).requires_grad_(), uniform(4, 2, 9, 50, 76).requires_grad_()
    compare_both('deform_conv2d', lambda *inputs: ops.deform_conv2d(*inputs, 1, 1), (x, offset, weight), rounds)
    compare_both(
        'modulated_deform_conv2d',
        lambda *inputs: ops.modulated_deform_conv2d(*inputs, None, 1, 1),
        (x, offset, mask, weight),
        rounds,
    )


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
