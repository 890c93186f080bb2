"""SE-Var1 in ResNet-50 on ImageNet. Table 1: top-1 76.00, top-5 92.90.

tools/train.py configs/imagenet/se_var1_resnet50.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(attention=dict(type='eca_mm.SEVar1Layer')))
