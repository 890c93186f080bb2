"""Faster R-CNN, ECA-ResNet-50-D, FPN, 1x. Not in the paper: its backbone starts from timm's weights, which are downloaded.

tools/train.py configs/faster_rcnn_eca_r50d_fpn_1x.py
"""

_base_ = './faster_rcnn_eca_r50_fpn_1x.py'

backbone_weights = 'timm://ecaresnet50d.miil_in1k'
# As timm's: three 3x3 convolutions in the stem, average pooling in the shortcuts, Eq. 9's kernel sizes. These weights were
# trained with the mean and standard deviation that mmdet's preprocessor has.
model = dict(
    backbone=dict(
        deep_stem=True,
        avg_down=True,
        kernel_size=(5, 5, 5, 7),
        init_cfg=dict(checkpoint=backbone_weights),
    )
)
