"""What the comparisons of attention layers share: a small ResNet-18 with a slot, and a schedule from scratch."""

_base_ = './runtime_classification.py'

model = dict(
    type='ImageClassifier',
    # A quarter of ResNet-18's width: on small pictures a minute or two on two CPU cores.
    backbone=dict(type='eca_mm.AttentionResNet', depth=18, stem_channels=16, base_channels=16),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', in_channels=128, loss=dict(type='CrossEntropyLoss')),
)
images_per_step = 64
# With SGD a narrow network stayed on a plateau for half of so short a schedule, or for all of it, by its seed.
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.05))
train_cfg = dict(by_epoch=True, max_epochs=8, val_interval=8)
val_cfg = dict()
test_cfg = dict()
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=8, T_max=7, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1), logger=dict(interval=10))
