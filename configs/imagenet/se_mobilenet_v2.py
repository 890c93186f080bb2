"""SE-MobileNetV2 on ImageNet. Table 2: top-1 72.42, top-5 90.67, 3.40M parameters, 320.1 MFLOPs.

tools/train.py configs/imagenet/se_mobilenet_v2.py
"""

_base_ = './mobilenet_v2.py'

model = dict(backbone=dict(attention=dict(type='eca_mm.SELayer', ratio=8)))
