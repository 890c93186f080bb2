"""Faster R-CNN, ECA-ResNet-50, FPN on the embedded shapes: from nothing to AP in minutes, on two CPU cores too.

tools/train.py configs/faster_rcnn_eca_r50_fpn_shapes.py
"""

_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './_base_/shapes.py', './_base_/runtime_detection.py']

# Trained from scratch: nothing frozen, batch statistics everywhere. Half the width of COCO's neck and heads, and
# anchors, levels and samples for 128 x 128 pixels with a few objects.
model = dict(
    backbone=dict(
        type='eca_mm.ECAResNet',
        kernel_size=(3, 5, 5, 7),
        frozen_stages=-1,
        norm_eval=False,
        zero_init_residual=False,
        init_cfg=None,
    ),
    neck=dict(out_channels=128, num_outs=4, norm_cfg=dict(type='BN')),
    rpn_head=dict(
        in_channels=128,
        feat_channels=128,
        anchor_generator=dict(scales=[4], ratios=[1.0], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=128, finest_scale=14),
        bbox_head=dict(in_channels=128, fc_out_channels=256, num_classes=4),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=300, max_per_img=128, nms=dict(iou_threshold=0.8)),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100), rcnn=dict(max_per_img=50)),
)
