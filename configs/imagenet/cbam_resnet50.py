"""CBAM-ResNet-50 on ImageNet. Table 2: top-1 77.34, top-5 93.69, 26.77M parameters, 3.87 GFLOPs.

tools/train.py configs/imagenet/cbam_resnet50.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(attention=dict(type='eca_mm.CBAMLayer')))
