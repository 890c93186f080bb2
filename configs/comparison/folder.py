"""Any folder with train/CLASS/*.jpg and val/CLASS/*.jpg, at 64 x 64 pixels, by a small ResNet-18.

tools/compare.py configs/comparison/folder.py --data-root data/pets
"""

_base_ = ['mmpretrain::_base_/datasets/imagenet_bs32.py', '../_base_/comparison.py']

# Not an import statement: with one, mmengine 0.10.7 refuses this `_base_` where Python is outside /usr (pyenv, uv, conda).
os = __import__('os')
data_root = '{{$IMAGENET_ROOT:data/imagenet}}'
folder = os.path.join(data_root, 'train')
classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if os.path.isdir(folder) else None
train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        data_root=data_root,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomResizedCrop', scale=64, crop_ratio_range=(0.35, 1.0)),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=100,
    dataset=dict(
        data_root=data_root,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='ResizeEdge', scale=72, edge='short'),
            dict(type='CenterCrop', crop_size=64),
            dict(type='PackInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=1000))
