"""ECA-ResNet-152 on ImageNet. Table 2: top-1 78.92, top-5 94.55, 57.40M parameters, 10.83 GFLOPs.

tools/train.py configs/imagenet/eca_resnet152.py
"""

_base_ = './eca_resnet50.py'

# As in the authors' weights; Eq. 9 would give 5, 5, 5, 7.
model = dict(backbone=dict(depth=152, kernel_size=(3, 3, 5, 7)))
