"""ResNet-200 of He et al. (2016b), norm and ReLU before the convolutions, on ImageNet. Table 3: top-5 94.00.

tools/train.py configs/imagenet/resnet200.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(type='eca_mm.AttentionPreActResNet', depth=200))
