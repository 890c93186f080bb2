"""Mask R-CNN, ECA-ResNet-101, FPN: the authors' mask_rcnn_ecanet101_k3357_bs8_lr0.01. Table 4: AP 41.3; Table 5: mask AP 37.4.

tools/test.py configs/legacy/mask_rcnn_eca_r101_fpn.py CONVERTED.pth
"""

_base_ = './mask_rcnn_eca_r50_fpn.py'

model = dict(backbone=dict(depth=101, kernel_size=(3, 3, 5, 7)))
