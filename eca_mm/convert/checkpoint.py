"""From a checkpoint of one library to a checkpoint of another: everything is accounted for, or nothing is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eca_mm.checkpoints import check_values
from eca_mm.checkpoints.files import SUFFIXES, Weights, read_weights, write_weights
from eca_mm.checkpoints.keys import Layout, find_layout, rename, to_ours
from eca_mm.checkpoints.known import check_kernel_sizes, sha256
from eca_mm.checkpoints.renaming import Renaming
from eca_mm.convert import mmdet1
from eca_mm.convert.families import Architecture, Target, find_family
from eca_mm.convert.families.base import Tensors
from eca_mm.errors import UserError
from eca_mm.output import check_output
from eca_mm.version import __version__


@dataclass(frozen=True)
class Converted:
    """What :func:`convert_checkpoint` wrote.

    Attributes:
        keys: What became of each key.
        source, target: Names of the formats.
        network: The backbone.
        code: The line that builds the network: a line of a config, or a call of timm's or torchvision's.
        notes: What is not known of the weights.
    """

    keys: Renaming
    source: str
    target: str
    network: Architecture
    code: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = [f'note: {note}' for note in self.notes]
        return '\n'.join([f'{self.source} -> {self.target}: {self.keys}', *notes, self.code])


def convert_checkpoint(
    src: str,
    dst: str | Path,
    *,
    source: str | None = None,
    to: str | None = None,
    entry: str | None = None,
    force: bool = False,
) -> Converted:
    """Converts a checkpoint.

    Args:
        src: See :func:`read_weights`.
        dst: The file to write, ``.pth`` or ``.safetensors``; its folder is created.
        source: One of :data:`eca_mm.convert.SOURCES`; recognised by its keys if None.
        to: One of :data:`eca_mm.convert.TARGETS`, mmpretrain if None. A detector of MMDetection 1.x becomes one
            of mmdet 3 if None.
        entry: The entry of the checkpoint that holds the weights, see :func:`read_weights`.
        force: Write over `dst`.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file cannot be read safely; if a key has no place, or is missing, or has another shape, or holds
            NaN, infinity or no numbers of the usual kinds; if it is not the file that is known by that name; if the target
            has no such network; if `dst` exists or cannot be written. Nothing is written then.
    """
    if Path(dst).suffix not in SUFFIXES:
        raise UserError(f'the converted file must end in {" or ".join(SUFFIXES)}, got {dst}')
    path = check_output(dst, force=force)
    weights = read_weights(src, entry)
    check_values(weights.tensors, src)
    if weights.path and path.exists() and path.samefile(weights.path):  # a URL or a name may stand for it
        raise UserError(f'{path} is the source itself, which is never written over')
    try:
        converted = convert_weights(weights, source, to, src)
    except UserError as error:
        raise UserError(f'{src} cannot be converted: {error}') from error
    converted.keys.dropped.update(weights.dropped)
    meta: dict[str, Any] = dict(
        tool=f'eca_mm {__version__}',
        source=converted.source,
        source_sha256=sha256(weights.path) if weights.path else None,
        target=converted.target,
        kernel_sizes=list(converted.network.kernel_sizes or ()),
        network=converted.code,
    )
    write_weights(converted.keys.tensors, meta, path, bare=converted.target == 'torchvision')
    return converted


def convert_weights(weights: Weights, source: str | None = None, to: str | None = None, name: str = '') -> Converted:
    """Converts weights that were read, without a file. Tensors on the device meta will do.

    Args:
        name: Where they come from: those of a known file are compared with what is known of it.

    Raises:
        UserError: As :func:`convert_checkpoint`.
    """
    notes = tuple(weights.notes)
    detector = source == 'mmdet1' or (source is None and mmdet1.recognises(weights.tensors))
    if detector and to is None:
        upgraded = mmdet1.upgrade(weights.tensors)
        _, network = _understand(upgraded.tensors, find_layout(upgraded.tensors, 'mmdet'), weights.config, name)
        return Converted(upgraded, 'mmdet1', 'mmdet', network, network.code, notes)
    to = to or 'mmpretrain'
    layout = find_layout(weights.tensors, 'mmdet' if detector else source)
    ours, network = _understand(weights.tensors, layout, weights.config, name)
    targets = network.family.targets
    if to not in targets:
        raise UserError(f'a {network.family.name} is not converted to {to}, only to {", ".join(targets)}')
    target = targets[to](network)
    keys = ours.then(to_theirs(ours.tensors, target))
    return Converted(keys, 'mmdet1' if detector else layout.source, to, network, target.code, notes)


def _understand(tensors: Tensors, layout: Layout, config: dict[str, Any], name: str) -> tuple[Renaming, Architecture]:
    """The weights by the names of our classifiers, and the network that they are of."""
    ours = to_ours(tensors, layout)
    check_kernel_sizes(name, ours.tensors)
    backbone = {key.removeprefix('backbone.'): value for key, value in ours.tensors.items()}
    return ours, find_family(backbone).infer(ours.tensors, config)


def to_theirs(weights: Tensors, target: Target) -> Renaming:
    """Gives our classifier's weights the names that they have elsewhere."""
    pairs = tuple((ours, theirs) for theirs, ours in target.pairs)
    result = Renaming()
    for key, tensor in weights.items():
        if not key.startswith('head.fc.'):
            name = target.backbone + rename(key.removeprefix('backbone.'), pairs)
            as_convolution = target.convolutions and target.convolutions in name and tensor.ndim == 2
            result.place(key, name, tensor[:, :, None, None] if as_convolution else tensor)
        elif target.classifier is None:
            result.dropped[key] = 'a backbone has no classifier'
        else:
            result.place(key, target.classifier + key.removeprefix('head.fc.'), tensor)
    return result
