"""Pretrained weights by name: the authors' files, to be downloaded by hand, and timm's."""

import hashlib
import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from eca_mm.checkpoints.keys import kernel_sizes
from eca_mm.errors import MissingFileError, UserError

README = 'https://github.com/BangguWu/ECANet#experiments'


class Known(NamedTuple):
    """A file that is known by name.

    Attributes:
        name: Its name, also in the authors' README.
        kernel_size: ECA's, stage by stage.
        drive: Its number on the authors' Google Drive, as their README has it; Baidu has it too.
        sha256: Of the file, where it is known; it is checked then.
    """

    name: str
    kernel_size: tuple[int, ...]
    drive: str
    sha256: str | None = None

    @property
    def path(self) -> Path:
        """Where it is, or should be put."""
        places = [Path('checkpoints') / f'{self.name}{suffix}' for suffix in ('.pth.tar', '.pth')]
        return next((place for place in places if place.is_file()), places[0])

    @property
    def advice(self) -> str:
        """How to get it."""
        return f'download it by hand from https://drive.google.com/open?id={self.drive} or by another link in {README}'


# No file has been seen by us, hence no sha256. k of MobileNetV2 is that of the authors' newest code.
KNOWN = {
    known.name: known
    for known in (
        Known('eca_resnet18_k3577', (3, 5, 7, 7), '1LMRFRTyzVifGBi2MUpTuYEWW44S8mwyl'),
        Known('eca_resnet34_k3357', (3, 3, 5, 7), '15LV5Jkea3GPzvLP5__H7Gg88oNQUxBDE'),
        Known('eca_resnet50_k3557', (3, 5, 5, 7), '1670rce333c_lyMWFzBlNZoVUvtxbCF_U'),
        Known('eca_resnet101_k3357', (3, 3, 5, 7), '1b5FQ8yDFnZ_UhvWT9txmjI_LjbKkgnvC'),
        Known('eca_resnet152_k3357', (3, 3, 5, 7), '1_bYnaOg9ptsILC_iC7uQ5Izv-u2rjYG5'),
        Known('eca_mobilenetv2_k13', (1, 1, 1, 1, 3, 3, 3), '1FxzeXPg1SJQZzVVH4HRjMeq_SVMfidUm'),
        Known('faster_rcnn_ecanet50_k5_bs8_lr0.01', (5, 5, 5, 5), '1myjDQIHRiYdTXm7DJjlFe_oyALhHXkrS'),
        Known('faster_rcnn_ecanet101_3357_bs8_lr0.01', (3, 3, 5, 7), '1otCeuTSs4DRLTBIO6cYjm7e-5dQK1dMX'),
        Known('mask_rcnn_ecanet50_k3377_bs8_lr0.01', (3, 3, 7, 7), '1z5sAqOD6zZzoVOyAd2VmBztmMXUKy-Nv'),
        Known('mask_rcnn_ecanet101_k3357_bs8_lr0.01', (3, 3, 5, 7), '1Rv-VjdfWOt5mE45M0lihgv59fqnCAHQq'),
        Known('RetinaNet_ecanet50_k3377_bs8_lr0.01', (3, 3, 7, 7), '1Pp6gndZFiZZo2BdbVmzUKQUtQ1m4kIbW'),
        Known('RetinaNet_ecanet101_k3357_bs8_lr0.01', (3, 3, 5, 7), '1290duDtOGMpp3QrL47CRAq24oGPgbtct'),
    )
}


def known_file(name: str) -> Path:
    """The place of a known file below the current folder.

    Raises:
        MissingFileError: If it is not there, with where to get it.
        UserError: If its sha256 is known and the file has another.
    """
    known = KNOWN[name]
    if not known.path.is_file():
        raise MissingFileError(f'{name} is not there: {known.advice}, and put it at {known.path}')
    if known.sha256 and (found := sha256(known.path)) != known.sha256:
        raise UserError(f'{known.path} is not the file that is known as {name}: sha256 {found}, not {known.sha256}')
    return known.path


def where_to_get(path: Path) -> str:
    """The end of a sentence about a path that is not there: what to do if it is named as a known file, else nothing."""
    known = KNOWN.get(re.sub(r'\.pth(\.tar)?$', '', path.name))
    return f'; {known.advice}, and put it there' if known else ''


def check_kernel_sizes(name: str, weights: Mapping[str, Tensor]) -> None:
    """Compares the kernel sizes of ECA with those that a known file has; passes over names that are not known.

    Args:
        name: Where the weights come from.
        weights: By the names of our classifiers.

    Raises:
        UserError: If they differ: then it is another file under that name.
    """
    if name in KNOWN and (got := kernel_sizes(weights)) != KNOWN[name].kernel_size:
        raise UserError(
            f'{name} has ECA with kernel sizes {KNOWN[name].kernel_size}, and {KNOWN[name].path} with {got or "none"}: put '
            'the right file there, or name this one by its path'
        )


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


# What a ResNet of timm may consist of, for its weights to mean the same here.
_TIMM_PARTS = re.compile(
    'ResNet|BasicBlock|Bottleneck|Sequential|Identity|Conv2d|BatchNorm2d|ReLU|MaxPool2d|AvgPool2d|Linear|EcaModule|Conv1d|'
    'SEModule|Sigmoid|SelectAdaptivePool2d|FastAdaptiveAvgPool|AdaptiveAvgPool2d|Flatten|DropPath'
)


def timm_weights(name: str) -> dict[str, Tensor]:
    """The pretrained weights of a ResNet of timm, which timm downloads.

    Args:
        name: As for ``timm.create_model``: ``ecaresnet50d``, ``resnet50.a1_in1k``.

    Raises:
        UserError: Without timm or a network connection, for a name that timm does not know, and for a network that has
            other layers than those here, which its keys would not tell: anti-aliasing, other activations.
    """
    try:
        timm: Any = importlib.import_module('timm')
    except ImportError as error:
        raise UserError(f'timm://{name} needs timm: pip install timm') from error
    try:
        model: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # of timm, huggingface_hub and its HTTP client, which share no class
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise UserError(f'timm cannot load {name}: {reason}') from error
    for path, module in model.named_modules():
        part = type(module).__name__
        if not _TIMM_PARTS.fullmatch(part) or (path.endswith('.aa') and part != 'Identity'):
            raise UserError(f'timm://{name} has a {part} ({path or "the network"}), which no ResNet here has')
    return model.state_dict()


def check_arch(arch: str, what: str) -> None:
    """Refuses the anti-aliased networks of timm, whose keys and shapes are those of others.

    Args:
        arch: The name of the network that its training wrote into the checkpoint.
        what: Names the checkpoint in the message.

    Raises:
        UserError: If it is one of these.
    """
    if re.search('resnet(aa|blur)', arch):
        raise UserError(f'{what} is of {arch}, which is anti-aliased, as no ResNet here is')
