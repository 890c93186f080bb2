"""Names that moved into the files of their families."""

from eca_mm.checkpoints.families.densenet import DENSENETS
from eca_mm.checkpoints.families.resnet import PREACT_RESNETS, RESNETS

__all__ = ['DENSENETS', 'PREACT_RESNETS', 'RESNETS']
