"""ECA-ResNet-50 with k = 9 in every block, on ImageNet. Figure 4; the best of the fixed sizes.

tools/train.py configs/imagenet/eca_k9_resnet50.py
"""

_base_ = './eca_resnet50.py'

model = dict(backbone=dict(kernel_size=9))
