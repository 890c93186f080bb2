"""SE-ResNet-50 on ImageNet. Table 2: top-1 76.71, top-5 93.38, 26.77M parameters, 3.87 GFLOPs.

tools/train.py configs/imagenet/se_resnet50.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(attention=dict(type='eca_mm.SELayer')))
