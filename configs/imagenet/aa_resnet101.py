"""AA-ResNet-101 on ImageNet. Table 2: top-1 78.70, top-5 94.40, 45.40M parameters, 8.05 GFLOPs.

tools/train.py configs/imagenet/aa_resnet101.py
"""

_base_ = './aa_resnet50.py'

model = dict(backbone=dict(depth=101))
