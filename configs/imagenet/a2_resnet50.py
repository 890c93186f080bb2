"""A2-Net, double attention in ResNet-50 on ImageNet. Table 2: top-1 77.00, top-5 93.50, 33.00M parameters, 6.50 GFLOPs.

tools/train.py configs/imagenet/a2_resnet50.py
"""

_base_ = './resnet50.py'

# Behind every second block of the stages with 512 and 1024 channels, after its sum. The stride is in the blocks' first 1x1
# convolution, as in He et al. (2016a): with it the count comes closest to the 6.5 GFLOPs of the A2-Nets paper.
model = dict(
    backbone=dict(
        type='eca_mm.AttentionBehind',
        backbone=dict(type='eca_mm.AttentionResNet'),
        style='caffe',
        behind=r'layer2\.[13]|layer3\.[135]',
        attention=dict(type='eca_mm.DoubleAttentionLayer'),
    )
)
