"""Times the stand-in against compiled mmcv, in turns: ``python tests/benchmark.py [ROUNDS]``.

Needs compiled operators. The sizes are Faster R-CNN's at 800 x 1216 pixels; the training step is that of Faster R-CNN
ECA-R50-FPN on two images of 256 x 256. A ratio above 1 means that the stand-in is slower. One thread, CPU.
"""

import statistics
import sys
import time

import torch
from cases import boxes, regions, uniform
from mmcv import _ext, ops
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmcv_torch_ops import extension, in_use


def compare(name, call, rounds):
    """Prints the median milliseconds with each set of operators, and their ratio."""
    users = [module for name, module in sys.modules.items() if name.startswith('mmcv.ops.')]
    times = {_ext: [], extension: []}
    for _ in range(rounds + 1):
        for module, measured in times.items():
            for user in users:
                if hasattr(user, 'ext_module'):
                    user.ext_module = module
            start = time.perf_counter()
            call()
            measured.append(1e3 * (time.perf_counter() - start))
    compiled, ours = (statistics.median(measured[1:]) for measured in times.values())  # the first one warms up
    print(f'{name:36} {compiled:9.2f} {ours:9.2f} {ours / compiled:9.3f}', flush=True)


def compare_both(name, function, inputs, rounds):
    compare(f'{name}, forward', lambda: function(*inputs), rounds)
    output = function(*inputs)
    gradient, wanted = torch.ones_like(output), [value for value in inputs if value.requires_grad]
    compare(f'{name}, backward', lambda: torch.autograd.grad(output, wanted, gradient, retain_graph=True), rounds)


def training_step():
    init_default_scope('mmdet')
    config = Config.fromfile('configs/faster_rcnn_eca_r50_fpn_1x.py').model
    config.backbone.init_cfg = None
    model = MODELS.build(config).train()
    images = uniform(1, 2, 3, 256, 256)
    samples = [
        DetDataSample(metainfo=dict.fromkeys(('img_shape', 'pad_shape', 'batch_input_shape'), (256, 256)))
        for _ in range(2)
    ]
    for sample in samples:
        sample.gt_instances = InstanceData(bboxes=boxes(2, 5, 256.0), labels=torch.arange(5))

    def step():
        torch.manual_seed(0)  # the samplers'
        losses = model(images, samples, mode='loss')
        sum(sum(loss) if isinstance(loss, list) else loss for key, loss in losses.items() if 'loss' in key).backward()

    return step


def main(rounds=9):
    if in_use() != 'compiled':
        raise SystemExit("this environment's mmcv has no compiled operators to compare with.")
    torch.set_num_threads(1)
    print(f'{"milliseconds":36} {"compiled":>9} {"stand-in":>9} {"ratio":>9}')
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
    compare('Faster R-CNN, one training step', training_step(), rounds)


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
