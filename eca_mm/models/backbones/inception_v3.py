"""Inception-v3 with an attention slot in every module."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from mmpretrain.models.backbones.inception_v3 import InceptionV3

from eca_mm.checkpoints.attention import Attention, per_stage
from eca_mm.models.backbones.base import Backbone
from eca_mm.models.backbones.behind import put_behind

# Channels of the modules' outputs, which are concatenations, by stage.
STAGES = (
    {'Mixed_5b': 256, 'Mixed_5c': 288, 'Mixed_5d': 288},
    {'Mixed_6a': 768, 'Mixed_6b': 768, 'Mixed_6c': 768, 'Mixed_6d': 768, 'Mixed_6e': 768},
    {'Mixed_7a': 1280, 'Mixed_7b': 2048, 'Mixed_7c': 2048},
)


@MODELS.register_module(force=True)  # in place of its builder in eca_mm.models
class AttentionInceptionV3(Backbone, InceptionV3):
    """mmpretrain's Inception-v3 with one attention layer behind every inception module, which is where SENet has it.

    Takes images (N, 3, 299, 299) and returns what ``mmpretrain.InceptionV3`` does: the auxiliary logits or None, and the
    logits (N, num_classes). Keys are torchvision's, and ``Mixed_5b.eca.conv.weight``.

    Args:
        attention: Config of the layer, None, or one of these for each of Mixed_5, Mixed_6 and Mixed_7.
        kwargs: Arguments of ``mmpretrain.InceptionV3``: num_classes, aux_logits, dropout, init_cfg. A pretrained one is loaded
            strictly, as by :class:`AttentionResNet`, but for classifiers with another number of classes.

    Raises:
        UserError: For an attention that is not registered, or a sequence that has not three entries.
    """

    classifiers = ('fc.', 'AuxLogits.fc.')

    def __init__(self, attention: Attention | Sequence[Attention] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for modules, layer in zip(STAGES, per_stage('attention', attention, len(STAGES)), strict=True):
            for name, channels in modules.items():
                put_behind(self.get_submodule(name), layer, channels)
