"""Backbones. Those that extend mmpretrain's are imported when one of them is used: see :mod:`eca_mm.models`."""

from eca_mm.models.backbones.aa_resnet import AAResNet
from eca_mm.models.backbones.behind import AttentionBehind
from eca_mm.models.backbones.preact_resnet import AttentionPreActResNet
from eca_mm.models.backbones.resnet import AttentionResNet, ECAResNet
from eca_mm.models.backbones.resnext import AttentionResNeXt

__all__ = ['AAResNet', 'AttentionBehind', 'AttentionPreActResNet', 'AttentionResNeXt', 'AttentionResNet', 'ECAResNet']
