"""Faster R-CNN, ResNet-101, FPN, 1x. Table 4: AP 38.7, 60.52M parameters, 283.14 GFLOPs.

tools/train.py configs/faster_rcnn_r101_fpn_1x.py
"""

_base_ = './faster_rcnn_r50_fpn_1x.py'

backbone_weights = 'torchvision://resnet101'
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint=backbone_weights)))
