"""Faster R-CNN, ECA-ResNet-50, FPN: the authors' faster_rcnn_ecanet50_k5_bs8_lr0.01. Table 4: AP 38.0.

tools/test.py configs/legacy/faster_rcnn_eca_r50_fpn.py CONVERTED.pth
"""

_base_ = ['../faster_rcnn_eca_r50_fpn_1x.py', './_base_.py']

custom_imports = dict(imports=['eca_mm.models.legacy'])
backbone_weights = None  # the checkpoint has them
model = dict(
    backbone=dict(kernel_size=5, init_cfg=None),
    rpn_head=_base_.legacy_dense_head,
    roi_head=_base_.legacy_roi_head,
    test_cfg=_base_.legacy_test,
)
