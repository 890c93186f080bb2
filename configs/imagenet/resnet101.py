"""ResNet-101 on ImageNet. Table 2: top-1 76.83, top-5 93.48, 42.49M parameters, 7.34 GFLOPs.

tools/train.py configs/imagenet/resnet101.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(depth=101))
