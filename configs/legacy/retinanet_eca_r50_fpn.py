"""RetinaNet, ECA-ResNet-50, FPN: the authors' RetinaNet_ecanet50_k3377_bs8_lr0.01. Not in the paper; their README: AP 37.3.

tools/test.py configs/legacy/retinanet_eca_r50_fpn.py CONVERTED.pth
"""

_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '../_base_/coco_detection.py',
    '../_base_/schedule_1x.py',
    '../_base_/runtime_detection.py',
    './_base_.py',
]

custom_imports = dict(imports=['eca_mm.models.legacy'])
model = dict(
    backbone=dict(type='eca_mm.ECAResNet', kernel_size=(3, 3, 7, 7), init_cfg=None),
    bbox_head=dict(type='eca_mm.LegacyRetinaHead', **_base_.legacy_dense_head),
    test_cfg=_base_.legacy_dense_test,
)
