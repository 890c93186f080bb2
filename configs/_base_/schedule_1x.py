"""The paper's detection recipe: 12 epochs of SGD, 8 images per step, lr 0.01 decayed after epochs 8 and 11."""

_base_ = 'mmdet::_base_/schedules/schedule_1x.py'

images_per_step = 8  # the paper's 4 GPUs x 2 images; tools/train.py accumulates to it on any number of GPUs
optim_wrapper = dict(optimizer=dict(lr=0.01))
auto_scale_lr = dict(base_batch_size=8)  # of mmdet's own tools, which do not accumulate
