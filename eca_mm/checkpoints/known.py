"""Pretrained weights by name: the authors' files, to be downloaded by hand, and timm's."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from eca_mm.checkpoints.attention import kernel_sizes
from eca_mm.errors import MissingFileError, UserError
from eca_mm.paths import CONFIGS

README = 'https://github.com/BangguWu/ECANet#experiments'


# Name in the authors' README: ECA's kernel sizes by stage, and the id on Google Drive. k of MobileNetV2 is that of their
# newest code.
KNOWN = {
    'eca_resnet18_k3577': ((3, 5, 7, 7), '1LMRFRTyzVifGBi2MUpTuYEWW44S8mwyl'),
    'eca_resnet34_k3357': ((3, 3, 5, 7), '15LV5Jkea3GPzvLP5__H7Gg88oNQUxBDE'),
    'eca_resnet50_k3557': ((3, 5, 5, 7), '1670rce333c_lyMWFzBlNZoVUvtxbCF_U'),
    'eca_resnet101_k3357': ((3, 3, 5, 7), '1b5FQ8yDFnZ_UhvWT9txmjI_LjbKkgnvC'),
    'eca_resnet152_k3357': ((3, 3, 5, 7), '1_bYnaOg9ptsILC_iC7uQ5Izv-u2rjYG5'),
    'eca_mobilenetv2_k13': ((1, 1, 1, 1, 3, 3, 3), '1FxzeXPg1SJQZzVVH4HRjMeq_SVMfidUm'),
    'faster_rcnn_ecanet50_k5_bs8_lr0.01': ((5, 5, 5, 5), '1myjDQIHRiYdTXm7DJjlFe_oyALhHXkrS'),
    'faster_rcnn_ecanet101_3357_bs8_lr0.01': ((3, 3, 5, 7), '1otCeuTSs4DRLTBIO6cYjm7e-5dQK1dMX'),
    'mask_rcnn_ecanet50_k3377_bs8_lr0.01': ((3, 3, 7, 7), '1z5sAqOD6zZzoVOyAd2VmBztmMXUKy-Nv'),
    'mask_rcnn_ecanet101_k3357_bs8_lr0.01': ((3, 3, 5, 7), '1Rv-VjdfWOt5mE45M0lihgv59fqnCAHQq'),
    'RetinaNet_ecanet50_k3377_bs8_lr0.01': ((3, 3, 7, 7), '1Pp6gndZFiZZo2BdbVmzUKQUtQ1m4kIbW'),
    'RetinaNet_ecanet101_k3357_bs8_lr0.01': ((3, 3, 5, 7), '1290duDtOGMpp3QrL47CRAq24oGPgbtct'),
}


def where_to_get(name: str) -> str:
    """Return the links to a known file."""
    return f'https://drive.google.com/open?id={KNOWN[name][1]} or another link in {README}'


def known_file(name: str) -> Path:
    """Return the path of a known file, ``checkpoints/NAME.pth.tar`` or ``.pth`` below the current folder.

    Raises:
        MissingFileError: If neither exists; the message has the link.
    """
    paths = [Path('checkpoints') / f'{name}{suffix}' for suffix in ('.pth.tar', '.pth')]
    for path in paths:
        if path.is_file():
            return path
    raise MissingFileError(
        f'{name} is not there: download it by hand from {where_to_get(name)}, and put it at {paths[0]}'
    )


def advice(path: Path) -> str:
    """Complete a message about a missing path: the link if it has the name of a known file, else nothing."""
    name = re.sub(r'\.pth(\.tar)?$', '', path.name)
    return f'; download it by hand from {where_to_get(name)}, and put it there' if name in KNOWN else ''


def released_weights(network: str) -> str | None:
    """The known name of the authors' weights of a network: ``eca_resnet50_k3557`` of ``eca_resnet50``."""
    return next((name for name in KNOWN if name.startswith(f'{network}_k')), None)


def ways_to_weights(network: str) -> str:
    """Say how to get pretrained weights of a network, such as ``eca_resnet50``, in a sentence for each way."""
    released = released_weights(network)
    if released is None:
        return 'Train them with a config of configs/imagenet, or name another place by `cfg_options` backbone_weights=FILE.'
    by_hand = (
        f'Download {released} by hand ({where_to_get(released)}) and name it by `cfg_options` backbone_weights=FILE.'
    )
    variants = sorted(CONFIGS.glob(f'*_eca_r{network.removeprefix("eca_resnet")}d_fpn_1x.py'))
    if not variants:
        return by_hand
    names = ' or '.join(f'configs/{file.name}' for file in variants)
    return f"{by_hand} Or take ECA-ResNet-D, whose weights are timm's and are downloaded: {names}."


def check_kernel_sizes(name: str, weights: Mapping[str, Tensor]) -> None:
    """Raise UserError if the name is that of a known file, and ECA's kernel sizes in the weights are not that file's."""
    if name in KNOWN and (got := kernel_sizes(weights)) != (sizes := KNOWN[name][0]):
        raise UserError(
            f'{name} has ECA with kernel sizes {sizes}, and {known_file(name)} with {got or "none"}: put the right file '
            'there, or name this one by its path'
        )


def timm_weights(name: str) -> dict[str, Tensor]:
    """Load timm's pretrained weights of a name, such as ``resnet50.a1_in1k``, from its cache or the network.

    Raises:
        UserError: Without timm or a network connection, and for a name that timm does not know.
    """
    try:
        import timm
    except ImportError as error:
        raise UserError(f'timm://{name} needs timm: pip install timm') from error
    try:
        return dict(timm.create_model(name, pretrained=True).state_dict())
    except Exception as error:  # of timm, huggingface_hub and its HTTP client, which share no class
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise UserError(f'timm cannot load {name}: {reason}') from error
