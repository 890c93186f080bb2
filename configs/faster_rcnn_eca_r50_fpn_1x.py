"""Faster R-CNN, ECA-ResNet-50, FPN, 1x. Table 4: AP 38.0, 41.53M parameters, 207.18 GFLOPs.

tools/train.py configs/faster_rcnn_eca_r50_fpn_1x.py
"""

_base_ = './faster_rcnn_r50_fpn_1x.py'

backbone_weights = 'checkpoints/eca_resnet50.pth'
# As in the authors' weights; Eq. 9 would give 5, 5, 5, 7. The paper does not say what its detectors had.
model = dict(
    backbone=dict(
        type='eca_mm.ECAResNet',
        kernel_size=(3, 5, 5, 7),
        init_cfg=dict(checkpoint=backbone_weights),
    )
)
