"""SE-ResNet-101 on ImageNet. Table 2: top-1 77.62, top-5 93.93, 47.01M parameters, 7.35 GFLOPs.

tools/train.py configs/imagenet/se_resnet101.py
"""

_base_ = './se_resnet50.py'

model = dict(backbone=dict(depth=101))
