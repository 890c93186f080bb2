_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './_base_/shapes.py', './_base_/runtime_detection.py']

model = dict(
    backbone=dict(
        type='eca_mm.ECAResNet',
        kernel_size=(3, 5, 5, 7),
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(out_channels=128, num_outs=4, norm_cfg=dict(type='BN')),
    rpn_head=dict(
        in_channels=128,
        feat_channels=128,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=128),
        bbox_head=dict(in_channels=128, fc_out_channels=256, num_classes=4),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=300, max_per_img=128), rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100), rcnn=dict(max_per_img=50)),
)
