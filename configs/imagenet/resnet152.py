"""ResNet-152 on ImageNet. Table 2: top-1 77.58, top-5 93.66, 57.40M parameters, 10.82 GFLOPs.

tools/train.py configs/imagenet/resnet152.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(depth=152))
