"""Which shape covers most of a small picture, by a small ResNet-18: attention layers compared in minutes.

tools/compare.py configs/comparison/shapes.py
"""

_base_ = '../_base_/comparison.py'

classes = ('circle', 'square', 'triangle', 'star')
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, num_classes=4)
model = dict(head=dict(num_classes=4))
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='eca_mm.ShapeClassesDataset',
        split='train',
        pipeline=[dict(type='RandomFlip', prob=0.5), dict(type='PackInputs')],
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='eca_mm.ShapeClassesDataset', split='val', pipeline=[dict(type='PackInputs')]),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
