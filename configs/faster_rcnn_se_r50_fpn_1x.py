"""Faster R-CNN, SE-ResNet-50, FPN, 1x. Table 4: AP 37.7, 44.02M parameters, 207.18 GFLOPs.

tools/train.py configs/faster_rcnn_se_r50_fpn_1x.py
"""

_base_ = './faster_rcnn_r50_fpn_1x.py'

backbone_weights = 'checkpoints/se_resnet50.pth'
model = dict(backbone=dict(attention=dict(type='eca_mm.SELayer'), init_cfg=dict(checkpoint=backbone_weights)))
