"""ResNeXt-101 (32x4d) on ImageNet. Table 3: top-5 94.40.

tools/train.py configs/imagenet/resnext101.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(type='eca_mm.AttentionResNeXt', depth=101))
