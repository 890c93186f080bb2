"""RetinaNet, ECA-ResNet-101, FPN, of MMDetection 1.x. The paper has no number; k as tools/convert_checkpoint.py prints it.

tools/test.py configs/legacy/retinanet_eca_r101_fpn.py CONVERTED.pth
"""

_base_ = './retinanet_eca_r50_fpn.py'

model = dict(backbone=dict(depth=101, kernel_size=(3, 3, 5, 7)))
