"""ECA-ResNet-50 with k = 3 in every block, on ImageNet. Figure 4; Table 1: top-1 77.43, top-5 93.65.

tools/train.py configs/imagenet/eca_k3_resnet50.py
"""

_base_ = './eca_resnet50.py'

model = dict(backbone=dict(kernel_size=3))
