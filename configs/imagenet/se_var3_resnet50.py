"""SE-Var3 in ResNet-50 on ImageNet. Table 1: top-1 77.42, top-5 93.64.

tools/train.py configs/imagenet/se_var3_resnet50.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(attention=dict(type='eca_mm.SEGCLayer', groups=1)))
