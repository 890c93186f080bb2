"""Mask R-CNN, ECA-ResNet-50, FPN: the authors' mask_rcnn_ecanet50_k3377_bs8_lr0.01. Table 4: AP 39.0; Table 5: mask AP 35.6.

tools/test.py configs/legacy/mask_rcnn_eca_r50_fpn.py CONVERTED.pth
"""

_base_ = ['../mask_rcnn_eca_r50_fpn_1x.py', './_base_.py']

custom_imports = dict(imports=['eca_mm.models.legacy'])
backbone_weights = None  # the checkpoint has them
model = dict(
    backbone=dict(kernel_size=(3, 3, 7, 7), init_cfg=None),
    rpn_head=_base_.legacy_dense_head,
    roi_head=dict(
        mask_roi_extractor=_base_.legacy_roi_extractor,
        mask_head=dict(type='eca_mm.LegacyMaskHead'),
        **_base_.legacy_roi_head,
    ),
    test_cfg=_base_.legacy_test,
)
