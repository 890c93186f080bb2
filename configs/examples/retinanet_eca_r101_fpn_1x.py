"""RetinaNet, ECA-ResNet-101, FPN, 1x. Not in the paper.

tools/train.py configs/examples/retinanet_eca_r101_fpn_1x.py
"""

_base_ = './retinanet_eca_r50_fpn_1x.py'

backbone_weights = 'checkpoints/eca_resnet101.pth'
# As in the authors' weights; Eq. 9 would give 5, 5, 5, 7.
model = dict(backbone=dict(depth=101, kernel_size=(3, 3, 5, 7), init_cfg=dict(checkpoint=backbone_weights)))
