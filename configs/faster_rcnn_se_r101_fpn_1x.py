"""Faster R-CNN, SE-ResNet-101, FPN, 1x. Table 4: AP 39.6, 65.24M parameters, 283.33 GFLOPs.

tools/train.py configs/faster_rcnn_se_r101_fpn_1x.py
"""

_base_ = './faster_rcnn_se_r50_fpn_1x.py'

backbone_weights = 'checkpoints/se_resnet101.pth'
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint=backbone_weights)))
