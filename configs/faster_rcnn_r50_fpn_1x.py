"""Faster R-CNN, ResNet-50, FPN, 1x. Table 4: AP 36.4, 41.53M parameters, 207.07 GFLOPs.

tools/train.py configs/faster_rcnn_r50_fpn_1x.py
"""

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    './_base_/coco_detection.py',
    './_base_/schedule_1x.py',
    './_base_/runtime_detection.py',
]

backbone_weights = 'torchvision://resnet50'  # downloaded
model = dict(backbone=dict(type='eca_mm.AttentionResNet', init_cfg=dict(checkpoint=backbone_weights)))
