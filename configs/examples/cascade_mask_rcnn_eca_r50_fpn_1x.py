"""Cascade Mask R-CNN, ECA-ResNet-50, FPN, 1x. Not in the paper.

tools/train.py configs/examples/cascade_mask_rcnn_eca_r50_fpn_1x.py
"""

_base_ = [
    'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py',
    '../_base_/coco_instance.py',
    '../_base_/schedule_1x.py',
    '../_base_/runtime_detection.py',
]

backbone_weights = 'checkpoints/eca_resnet50.pth'
# As in the authors' weights; Eq. 9 would give 5, 5, 5, 7.
model = dict(
    backbone=dict(type='eca_mm.ECAResNet', kernel_size=(3, 5, 5, 7), init_cfg=dict(checkpoint=backbone_weights))
)
