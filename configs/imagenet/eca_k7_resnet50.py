"""ECA-ResNet-50 with k = 7 in every block, on ImageNet. Figure 4; the figure prints no number.

tools/train.py configs/imagenet/eca_k7_resnet50.py
"""

_base_ = './eca_resnet50.py'

model = dict(backbone=dict(kernel_size=7))
