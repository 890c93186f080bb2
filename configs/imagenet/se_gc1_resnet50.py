"""SE-GC1 in ResNet-50 on ImageNet. Table 1: top-1 76.95, top-5 93.47.

tools/train.py configs/imagenet/se_gc1_resnet50.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(attention=dict(type='eca_mm.SEGCLayer', groups=16)))
