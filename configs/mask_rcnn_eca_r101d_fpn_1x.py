"""Mask R-CNN, ECA-ResNet-101-D, FPN, 1x. Not in the paper: its backbone starts from timm's weights, which are downloaded.

tools/train.py configs/mask_rcnn_eca_r101d_fpn_1x.py
"""

_base_ = './mask_rcnn_eca_r50d_fpn_1x.py'

backbone_weights = 'timm://ecaresnet101d.miil_in1k'
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint=backbone_weights)))
