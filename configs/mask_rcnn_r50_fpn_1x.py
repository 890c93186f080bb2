"""Mask R-CNN, ResNet-50, FPN, 1x. Table 4: AP 37.2, 44.18M parameters, 275.58 GFLOPs; Table 5: mask AP 34.1.

tools/train.py configs/mask_rcnn_r50_fpn_1x.py
"""

_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    './_base_/coco_instance.py',
    './_base_/schedule_1x.py',
    './_base_/runtime_detection.py',
]

backbone_weights = 'torchvision://resnet50'  # downloaded
model = dict(backbone=dict(type='eca_mm.AttentionResNet', init_cfg=dict(checkpoint=backbone_weights)))
