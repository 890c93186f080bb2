"""AA-ResNet-50 on ImageNet. Table 2: top-1 77.70, top-5 93.80, 25.80M parameters, 4.15 GFLOPs.

tools/train.py configs/imagenet/aa_resnet50.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(type='eca_mm.AAResNet'))
