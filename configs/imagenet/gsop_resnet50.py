"""GSoP-Net1, second-order pooling in ResNet-50 on ImageNet. Table 2: top-1 77.68, top-5 93.98, 28.05M parameters, 6.18 GFLOPs.

tools/train.py configs/imagenet/gsop_resnet50.py
"""

_base_ = './resnet50.py'

# In the last block of the stages with 512, 1024 and 2048 channels, after its last norm; the last stage has no stride. The
# authors' code has a layer in the first stage too, and its strides in the 3x3 convolutions: that would be 28.29M parameters
# and 6.40 GFLOPs.
model = dict(
    backbone=dict(
        type='eca_mm.AttentionBehind',
        backbone=dict(type='eca_mm.AttentionResNet'),
        style='caffe',
        strides=(1, 2, 2, 1),
        behind=r'layer2\.3\.bn3|layer3\.5\.bn3|layer4\.2\.bn3',
        attention=dict(type='eca_mm.GSoPLayer'),
    )
)
