"""The kinds of networks whose weights tell what they are of. To add one: its `Family` here, and the names of its weights in
:mod:`eca_mm.checkpoints.keys` where they are not a ResNet's."""

import re

from eca_mm.checkpoints.families.base import Family, Tensors
from eca_mm.checkpoints.families.mobilenet_v2 import MobileNetV2
from eca_mm.checkpoints.families.resnet import ResNet
from eca_mm.checkpoints.keys import NETWORKS
from eca_mm.errors import UserError

FAMILIES: tuple[Family, ...] = (MobileNetV2(), ResNet())  # the first that recognises the keys counts

__all__ = ['FAMILIES', 'Family', 'find_family']


def find_family(weights: Tensors) -> Family:
    """The kind of network that these are the weights of, by the names of our classifiers; UserError if it is none."""
    for family in FAMILIES:
        if any(re.fullmatch(rf'backbone\.({NETWORKS[family.name]})', key) for key in weights):
            return family
    raise UserError(f'the backbone is no {" or ".join(family.name for family in FAMILIES)}')
