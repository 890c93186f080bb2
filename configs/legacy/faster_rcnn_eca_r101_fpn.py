"""Faster R-CNN, ECA-ResNet-101, FPN: the authors' faster_rcnn_ecanet101_3357_bs8_lr0.01. Table 4: AP 40.3.

tools/test.py configs/legacy/faster_rcnn_eca_r101_fpn.py CONVERTED.pth
"""

_base_ = './faster_rcnn_eca_r50_fpn.py'

model = dict(backbone=dict(depth=101, kernel_size=(3, 3, 5, 7)))
