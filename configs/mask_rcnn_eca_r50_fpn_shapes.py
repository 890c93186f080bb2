"""Mask R-CNN, ECA-ResNet-50, FPN on the embedded shapes: the Faster R-CNN beside it, with a mask head.

tools/train.py configs/mask_rcnn_eca_r50_fpn_shapes.py
"""

_base_ = './faster_rcnn_eca_r50_fpn_shapes.py'

model = dict(
    type='MaskRCNN',
    roi_head=dict(
        mask_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=128,
            featmap_strides=[4, 8, 16, 32],
            finest_scale=14,
        ),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=2,
            in_channels=128,
            conv_out_channels=64,
            num_classes=4,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
