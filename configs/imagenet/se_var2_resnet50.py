"""SE-Var2 in ResNet-50 on ImageNet. Table 1: top-1 77.07, top-5 93.31.

tools/train.py configs/imagenet/se_var2_resnet50.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(attention=dict(type='eca_mm.SEGCLayer', group_width=1)))
