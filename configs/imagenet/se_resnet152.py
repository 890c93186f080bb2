"""SE-ResNet-152 on ImageNet. Table 2: top-1 78.43, top-5 94.27, 63.68M parameters, 10.85 GFLOPs.

tools/train.py configs/imagenet/se_resnet152.py
"""

_base_ = './se_resnet50.py'

model = dict(backbone=dict(depth=152))
