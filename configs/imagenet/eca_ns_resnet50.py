"""ECA-NS, Eq. 4 with k = 3, in ResNet-50 on ImageNet. Table 1: top-1 77.35, top-5 93.61.

tools/train.py configs/imagenet/eca_ns_resnet50.py
"""

_base_ = './resnet50.py'

model = dict(backbone=dict(attention=dict(type='eca_mm.ECANSLayer', kernel_size=3)))
