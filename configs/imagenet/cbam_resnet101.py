"""CBAM-ResNet-101 on ImageNet. Table 2: top-1 78.49, top-5 94.31, 47.01M parameters, 7.35 GFLOPs.

tools/train.py configs/imagenet/cbam_resnet101.py
"""

_base_ = './cbam_resnet50.py'

model = dict(backbone=dict(depth=101))
