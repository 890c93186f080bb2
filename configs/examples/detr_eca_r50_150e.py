"""DETR, ECA-ResNet-50, 150 epochs, with mmdet's own schedule. Not in the paper.

tools/train.py configs/examples/detr_eca_r50_150e.py
"""

_base_ = 'mmdet::detr/detr_r50_8xb2-150e_coco.py'

data_root = '{{$COCO_ROOT:data/coco}}/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

custom_imports = dict(imports=['eca_mm'])
default_hooks = dict(checkpoint=dict(backend_args=dict(backend='eca_mm.atomic'), max_keep_ckpts=3))
images_per_step = 16  # mmdet's 8 GPUs x 2 images
backbone_weights = 'checkpoints/eca_resnet50.pth'
# As in the authors' weights; Eq. 9 would give 5, 5, 5, 7.
model = dict(
    backbone=dict(type='eca_mm.ECAResNet', kernel_size=(3, 5, 5, 7), init_cfg=dict(checkpoint=backbone_weights))
)
