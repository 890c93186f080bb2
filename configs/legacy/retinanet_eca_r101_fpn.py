"""RetinaNet, ECA-ResNet-101, FPN: the authors' RetinaNet_ecanet101_k3357_bs8_lr0.01. Not in the paper; their README: AP 39.1.

tools/test.py configs/legacy/retinanet_eca_r101_fpn.py CONVERTED.pth
"""

_base_ = './retinanet_eca_r50_fpn.py'

model = dict(backbone=dict(depth=101, kernel_size=(3, 3, 5, 7)))
