"""Mask R-CNN, SE-ResNet-50, FPN, 1x. Table 4: AP 38.7, 46.67M parameters, 275.69 GFLOPs; Table 5: mask AP 35.4.

tools/train.py configs/mask_rcnn_se_r50_fpn_1x.py
"""

_base_ = './mask_rcnn_r50_fpn_1x.py'

backbone_weights = 'checkpoints/se_resnet50.pth'
model = dict(backbone=dict(attention=dict(type='eca_mm.SELayer'), init_cfg=dict(checkpoint=backbone_weights)))
