"""ECA-MobileNetV2 on ImageNet. Table 2: top-1 72.56, top-5 90.81, 3.34M parameters, 319.9 MFLOPs.

tools/train.py configs/imagenet/eca_mobilenet_v2.py
"""

_base_ = './mobilenet_v2.py'

# As in the authors' weights, k = 1 below 96 channels; Eq. 9 would give 3 up to 96 channels and 5 above.
model = dict(backbone=dict(type='eca_mm.ECAMobileNetV2', kernel_size=(1, 1, 1, 1, 3, 3, 3)))
