"""ResNet-50 on ImageNet. Table 2: top-1 75.20, top-5 92.52, 24.37M parameters, 3.86 GFLOPs.

tools/train.py configs/imagenet/resnet50.py
"""

_base_ = [
    'mmpretrain::_base_/models/resnet50.py',
    '../_base_/imagenet.py',
    '../_base_/runtime_classification.py',
]

# zero_init_residual: the paper trains as He et al. (2016a) do, and that came later.
model = dict(backbone=dict(type='eca_mm.AttentionResNet', zero_init_residual=False))
