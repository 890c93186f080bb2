from eca_mm.models.backbones.aa_resnet import AAResNet
from eca_mm.models.backbones.behind import AttentionBehind
from eca_mm.models.backbones.densenet import AttentionDenseNet
from eca_mm.models.backbones.inception_v3 import AttentionInceptionV3
from eca_mm.models.backbones.mobilenet_v2 import AttentionMobileNetV2, ECAMobileNetV2
from eca_mm.models.backbones.preact_resnet import AttentionPreActResNet
from eca_mm.models.backbones.resnet import AttentionResNet, ECAResNet
from eca_mm.models.backbones.resnext import AttentionResNeXt

__all__ = [
    'AAResNet', 'AttentionBehind', 'AttentionDenseNet', 'AttentionInceptionV3', 'AttentionMobileNetV2',
    'AttentionPreActResNet', 'AttentionResNeXt', 'AttentionResNet', 'ECAMobileNetV2', 'ECAResNet',
]  # fmt: skip
