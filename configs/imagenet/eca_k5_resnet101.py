"""ECA-ResNet-101 with k = 5 in every block, on ImageNet. Figure 4; the best of the fixed sizes.

tools/train.py configs/imagenet/eca_k5_resnet101.py
"""

_base_ = './eca_resnet101.py'

model = dict(backbone=dict(kernel_size=5))
