"""RetinaNet, ECA-ResNet-50, FPN, of MMDetection 1.x. The paper has no number; k as tools/convert_checkpoint.py prints it.

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
# k of the authors' classifier, until a checkpoint says otherwise: --cfg-options model.backbone.kernel_size=5
model = dict(
    backbone=dict(type='eca_mm.ECAResNet', kernel_size=(3, 5, 5, 7), init_cfg=None),
    bbox_head=dict(type='eca_mm.LegacyRetinaHead', **_base_.legacy_dense_head),
    test_cfg=_base_.legacy_dense_test,
)
