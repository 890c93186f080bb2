"""MobileNetV2 on ImageNet. Table 2: top-1 71.64, top-5 90.20, 3.34M parameters, 319.4 MFLOPs.

tools/train.py configs/imagenet/mobilenet_v2.py
"""

_base_ = [
    'mmpretrain::_base_/models/mobilenet_v2_1x.py',
    '../_base_/imagenet.py',
    '../_base_/runtime_classification.py',
]

model = dict(backbone=dict(type='eca_mm.AttentionMobileNetV2'))

# 400 epochs, and lr 0.045 times 0.98 after each, as in Sandler et al. (2018).
images_per_step = 96
auto_scale_lr = dict(base_batch_size=96)
train_cfg = dict(max_epochs=400)
optim_wrapper = dict(optimizer=dict(lr=0.045, weight_decay=4e-5))
param_scheduler = dict(_delete_=True, type='ExponentialLR', by_epoch=True, gamma=0.98)
