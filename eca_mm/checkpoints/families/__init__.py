"""The kinds of networks whose weights tell what they are of. To add one: its `Family` here, and the names of its weights in
:mod:`eca_mm.checkpoints.tables`."""

from eca_mm.checkpoints.families.base import Family, Tensors
from eca_mm.checkpoints.families.densenet import DenseNet
from eca_mm.checkpoints.families.inception_v3 import InceptionV3
from eca_mm.checkpoints.families.mobilenet_v2 import MobileNetV2
from eca_mm.checkpoints.families.resnet import PreActResNet, ResNet, ResNeXt
from eca_mm.errors import UserError

# The first that recognises the weights counts, so a ResNet, whose keys others have too, is last.
FAMILIES: tuple[Family, ...] = (DenseNet(), InceptionV3(), MobileNetV2(), PreActResNet(), ResNeXt(), ResNet())

__all__ = ['FAMILIES', 'Family', 'find_family']


def find_family(weights: Tensors) -> Family:
    """The kind of network that these are the weights of, by the names of our classifiers; UserError if it is none."""
    for family in FAMILIES:
        if family.recognises(weights):
            return family
    raise UserError(f'the backbone is no {", ".join(family.name for family in FAMILIES)}')
