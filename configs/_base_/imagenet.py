"""The paper's classification recipe: 100 epochs of SGD, 256 images per step, lr 0.1 divided by 10 every 30 epochs."""

_base_ = ['mmpretrain::_base_/datasets/imagenet_bs32.py', 'mmpretrain::_base_/schedules/imagenet_bs256.py']

images_per_step = 256  # tools/train.py accumulates to it on any number of GPUs
data_root = '{{$IMAGENET_ROOT:data/imagenet}}'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
