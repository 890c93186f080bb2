from eca_mm.models.backbones.resnet import AttentionResNet, ECAResNet

__all__ = ['AttentionResNet', 'ECAResNet']
