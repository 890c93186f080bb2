"""Mask R-CNN, SE-ResNet-101, FPN, 1x. Table 4: AP 40.7, 67.89M parameters, 351.84 GFLOPs; Table 5: mask AP 36.8.

tools/train.py configs/mask_rcnn_se_r101_fpn_1x.py
"""

_base_ = './mask_rcnn_se_r50_fpn_1x.py'

backbone_weights = 'checkpoints/se_resnet101.pth'
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint=backbone_weights)))
