from eca_mm.models.backbones.mobilenet_v2 import AttentionMobileNetV2, ECAMobileNetV2
from eca_mm.models.backbones.resnet import AttentionResNet, ECAResNet

__all__ = ['AttentionMobileNetV2', 'AttentionResNet', 'ECAMobileNetV2', 'ECAResNet']
