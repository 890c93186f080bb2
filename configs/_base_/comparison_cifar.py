"""mmpretrain's ResNet-18 for pictures of 32 x 32 pixels, and a longer schedule."""

_base_ = './comparison.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='eca_mm.AttentionBehind',
        backbone=dict(type='mmpretrain.ResNet_CIFAR', depth=18),
        behind=r'layer\d\.\d\.bn2',
        attention=None,
    ),
    head=dict(in_channels=512),
)
train_cfg = dict(max_epochs=30)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=30, T_max=29, convert_to_iter_based=True),
]
