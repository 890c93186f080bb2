"""DenseNet."""

from typing import Any

from eca_mm.checkpoints.families.base import Family, Tensors, size_of
from eca_mm.checkpoints.tables import DENSENETS
from eca_mm.errors import UserError


class DenseNet(Family):
    name = 'DenseNet'
    features = 'transitions.3.0.num_features'
    block = r'(stages\.\d)\.block\.(\d+)\.(.+)'

    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        if len(counts) != 4:
            raise UserError(f'{len(counts)} dense blocks, where a DenseNet has 4')
        if (kernel := size_of(backbone, 'stem.0.weight', 2, 7)) != 7:
            raise UserError(
                f'a stem that begins with a convolution of {kernel}x{kernel}, where a DenseNet has one of 7x7'
            )
        growth, stem = (
            size_of(backbone, key, 0, usual)
            for key, usual in (('stages.0.block.0.conv2.weight', 32), ('stem.0.weight', 64))
        )
        own = dict(growth_rate=growth, depths=counts, init_channels=stem)
        arch = next((name for name, sizes in DENSENETS.items() if sizes == (growth, counts, stem)), own)
        found: dict[str, Any] = dict(arch=arch)
        others = dict(
            bn_size=(size_of(backbone, 'stages.0.block.0.conv1.weight', 0, 4 * growth) // growth, 4),
            in_channels=(size_of(backbone, 'stem.0.weight', 1, 3), 3),
        )
        return found | {key: value for key, (value, usual) in others.items() if value != usual}
