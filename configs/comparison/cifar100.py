"""CIFAR-100, which mmpretrain downloads into data/cifar100.

tools/compare.py configs/comparison/cifar100.py
"""

_base_ = ['mmpretrain::_base_/datasets/cifar100_bs16.py', '../_base_/comparison_cifar.py']

model = dict(head=dict(num_classes=100))
train_dataloader = dict(batch_size=64)
val_dataloader = dict(batch_size=100)
test_dataloader = dict(batch_size=100)
