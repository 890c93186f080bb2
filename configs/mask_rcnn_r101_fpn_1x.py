"""Mask R-CNN, ResNet-101, FPN, 1x. Table 4: AP 39.4, 63.17M parameters, 351.65 GFLOPs; Table 5: mask AP 35.9.

tools/train.py configs/mask_rcnn_r101_fpn_1x.py
"""

_base_ = './mask_rcnn_r50_fpn_1x.py'

backbone_weights = 'torchvision://resnet101'
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint=backbone_weights)))
