"""DenseNet-264 on ImageNet. Table 3: top-5 93.78.

tools/train.py configs/imagenet/densenet264.py
"""

_base_ = './resnet50.py'

model = dict(
    backbone=dict(_delete_=True, type='eca_mm.AttentionDenseNet', arch='264'),
    head=dict(in_channels=2688),
)
