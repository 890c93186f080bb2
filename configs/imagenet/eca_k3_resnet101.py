"""ECA-ResNet-101 with k = 3 in every block, on ImageNet. Figure 4; the figure prints no number.

tools/train.py configs/imagenet/eca_k3_resnet101.py
"""

_base_ = './eca_resnet101.py'

model = dict(backbone=dict(kernel_size=3))
