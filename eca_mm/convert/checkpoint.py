"""From a checkpoint of one library to a checkpoint of another: everything is accounted for, or nothing is written."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from eca_mm.checkpoints import check_values
from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.families import Family, find_family
from eca_mm.checkpoints.families.base import Tensors
from eca_mm.checkpoints.files import SUFFIXES, Weights, read_weights, write_weights
from eca_mm.checkpoints.keys import LAYOUTS, find_layout, rename, to_ours
from eca_mm.checkpoints.known import check_kernel_sizes
from eca_mm.checkpoints.renaming import Renaming
from eca_mm.convert import mmdet1
from eca_mm.convert.config import CLASSIFIERS, STAGES, backbone_config, classifier_config, legacy_config
from eca_mm.convert.targets import OTHERS, OURS, Target, find_target
from eca_mm.errors import UserError
from eca_mm.output import check_output
from eca_mm.version import __version__

SOURCES = ('mmdet1', *dict.fromkeys(layout.source for layout in LAYOUTS))
TARGETS = tuple(dict.fromkeys([*OURS, *(target for targets in OTHERS.values() for target in targets)]))


@dataclass(frozen=True)
class Converted:
    """What :func:`convert_checkpoint` wrote."""

    keys: Renaming
    source: str
    target: str
    network: Architecture
    code: str  # that builds it: a line of a config, or a call of timm's or torchvision's
    notes: list[str]  # what is not known of the weights, and assumed

    def __str__(self) -> str:
        notes = [f'note: {note}' for note in self.notes]
        return '\n'.join([f'{self.source} -> {self.target}: {self.keys}', *notes, self.code])

    def config(self, file: str | Path) -> str:
        """The whole config that takes the written file; for another library the line that builds the network there."""
        weights, family = self.keys.tensors, self.network.family
        if self.target == 'mmdet':
            return legacy_config(self.network, weights)
        has_classifier = not weights.keys().isdisjoint(('head.fc.weight', 'backbone.fc.weight'))
        if self.target == 'mmpretrain' and family in CLASSIFIERS and has_classifier:
            return classifier_config(self.network, weights)
        return backbone_config(self.network, file) if self.target in OURS and family in STAGES else self.code


def convert_checkpoint(
    src: str,
    dst: str | Path,
    *,
    source: str | None = None,
    to: str | None = None,
    entry: str | None = None,
    style: str | None = None,
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
        style: Of a ResNet's bottlenecks, 'pytorch' or 'caffe', which no tensor tells; None for that of the file's config, or
            else 'pytorch', with a note.
        force: Write over `dst`.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file cannot be read safely; if a key has no place, or is missing, or has another shape, or holds
            NaN, infinity or no numbers of the usual kinds; if it is not the file that is known by that name; if the target
            has no such network; if `dst` exists or cannot be written. Nothing is written then.
    """
    if Path(dst).suffix not in SUFFIXES:
        raise UserError(f'the converted file must end in {" or ".join(SUFFIXES)}, got {dst}')
    for name, value, known in (
        ('source', source, SOURCES),
        ('to', to, TARGETS),
        ('style', style, ('pytorch', 'caffe')),
    ):
        if value not in (None, *known):
            raise UserError(f'--{name} must be one of {", ".join(known)}, got {value!r}')
    path = check_output(dst, force=force)
    weights = read_weights(src, entry)
    if style and weights.config.get('style', style) != style:
        raise UserError(f'--style {style}: the config in {src} says style={weights.config["style"]!r}')
    if style:
        weights.config['style'] = style
    check_values(weights.tensors, src)
    if weights.path and path.exists() and path.samefile(weights.path):  # a URL or a name may stand for it
        raise UserError(f'{path} is the source itself, which is never written over')
    try:
        converted = convert_weights(weights, source, to, src)
    except UserError as error:
        raise UserError(f'{src} cannot be converted: {error}') from error
    converted.keys.dropped.update(weights.dropped)
    meta = dict(
        tool=f'eca_mm {__version__}',
        source=converted.source,
        source_sha256=hashlib.sha256(weights.path.read_bytes()).hexdigest() if weights.path else None,
        target=converted.target,
        kernel_sizes=list(converted.network.kernel_sizes or ()),
        network=converted.code,
    )
    write_weights(converted.keys.tensors, meta, path, bare=converted.target == 'torchvision')
    return converted


def convert_weights(weights: Weights, source: str | None = None, to: str | None = None, name: str = '') -> Converted:
    """Converts weights that were read, without a file; see :func:`convert_checkpoint`. Tensors on the device meta will do.

    If they are named as a known file, they are compared with what is known of it.
    """
    detector = source == 'mmdet1' or (source is None and mmdet1.recognises(weights.tensors))
    upgraded = mmdet1.upgrade(weights.tensors) if detector and to is None else None
    tensors = upgraded.tensors if upgraded else weights.tensors
    layout = find_layout(tensors, 'mmdet' if detector else source)
    ours = to_ours(tensors, layout)  # by the names of our classifiers
    check_kernel_sizes(name, ours.tensors)
    if layout.source == 'mmdet' and to is None and not upgraded:
        raise UserError(
            'it is a detector of mmdet 3 already, and its heads are for nothing else here: name what becomes of its backbone '
            'alone, --to backbone or --to mmpretrain'
        )
    if layout.source == 'mmdet' and to not in (None, *OURS):
        raise UserError(f'it is a detector, and {to} has none like it: --to backbone takes its backbone alone')
    family = find_family(ours.tensors)
    network = family.infer(ours.tensors, weights.config)
    notes = _notes(weights, 'mmdet1' if detector else layout.source, source is not None, family, network)
    if upgraded:
        return Converted(upgraded, 'mmdet1', 'mmdet', network, network.code, notes)
    to = to or 'mmpretrain'
    target = find_target(network, to)
    keys = ours.then(to_theirs(ours.tensors, target))
    return Converted(keys, 'mmdet1' if detector else layout.source, to, network, target.code, notes)


def _notes(weights: Weights, source: str, told: bool, family: Family, network: Architecture) -> list[str]:
    """What is assumed of a network, as no tensor tells it."""
    notes = [weights.note] if weights.note else []
    untold = family.config_only(network.arguments, {})
    if untold and not weights.config and not weights.note and source in ('mmpretrain', 'mmdet', 'mmdet1', 'backbone'):
        style = "style='pytorch', " if 'style' in untold else ''
        other = '; --style caffe says otherwise' if style else ''
        notes.append(f'the file has no config, so {style}the usual strides and no dilations are assumed{other}')
    return notes + family.notes(source, told or weights.named)


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
