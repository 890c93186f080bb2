"""One training step and one prediction of a small Mask R-CNN; saves its numbers and prints which operators it used."""

import sys

import torch
from mmengine.registry import init_default_scope

from eca_mm import mmcv_ops


def main(path):
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.config import Config
    from mmengine.structures import InstanceData

    init_default_scope('mmdet')
    config = Config.fromfile('configs/mask_rcnn_eca_r50_fpn_shapes.py').model
    config.test_cfg.rcnn.update(score_thr=0.0, max_per_img=20)
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.init_weights()
    samples = []
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        corner = torch.rand(4, 2, generator=generator) * 60
        boxes = torch.cat((corner, corner + 10 + torch.rand(4, 2, generator=generator) * 50), dim=1)
        masks = torch.rand(4, 128, 128, generator=generator).round().numpy().astype('uint8')
        sample = DetDataSample(
            metainfo={
                **dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), (128, 128)),
                'scale_factor': (1.0, 1.0),
            }
        )
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(4), masks=BitmapMasks(masks, 128, 128))
        samples.append(sample)
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(2)) - 0.5
    losses = model.train()(images, samples, mode='loss')
    results = {name: torch.stack([*value]) if isinstance(value, list) else value for name, value in losses.items()}
    sum(value.sum() for name, value in results.items() if 'loss' in name).backward()
    results['gradients'] = torch.stack([parameter.grad.sum() for parameter in model.parameters()])
    with torch.no_grad():
        predicted = model.eval()(images, samples, mode='predict')[0].pred_instances
    results.update(scores=predicted.scores, boxes=predicted.bboxes, masks=predicted.masks)
    torch.save({name: value.detach() for name, value in results.items()}, path)
    print(mmcv_ops.in_use())


if __name__ == '__main__':
    main(sys.argv[1])
