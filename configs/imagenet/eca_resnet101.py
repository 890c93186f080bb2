"""ECA-ResNet-101 on ImageNet. Table 2: top-1 78.65, top-5 94.34, 42.49M parameters, 7.35 GFLOPs.

tools/train.py configs/imagenet/eca_resnet101.py
"""

_base_ = './eca_resnet50.py'

# As in the authors' weights; Eq. 9 would give 5, 5, 5, 7.
model = dict(backbone=dict(depth=101, kernel_size=(3, 3, 5, 7)))
