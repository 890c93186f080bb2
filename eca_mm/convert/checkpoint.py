"""Convert a checkpoint of one library for another: every key is accounted for, or nothing is written."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from eca_mm.checkpoints import check_values
from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.families import FAMILIES, family_of, find_family
from eca_mm.checkpoints.family import OURS, Family
from eca_mm.checkpoints.files import SUFFIXES, Weights, read_weights, write_weights
from eca_mm.checkpoints.keys import LAYOUTS, find_layout, to_ours, to_theirs
from eca_mm.checkpoints.known import check_kernel_sizes
from eca_mm.checkpoints.renaming import Renaming
from eca_mm.convert import mmdet1
from eca_mm.convert.config import classifier_config, detector_config, legacy_config
from eca_mm.errors import UserError
from eca_mm.output import check_output
from eca_mm.version import __version__

SOURCES = ('mmdet1', *dict.fromkeys(layout.source for layout in LAYOUTS))
TARGETS = tuple(dict.fromkeys([*OURS, *(target for family in FAMILIES for target in family.targets)]))


@dataclass(frozen=True)
class Converted:
    """The result of :func:`convert_checkpoint`."""

    keys: Renaming
    source: str
    target: str
    network: Architecture
    code: str  # that builds it: a line of a config, or a call of timm's or torchvision's
    notes: list[str]  # assumptions about what the weights do not show

    def __str__(self) -> str:
        notes = [f'note: {note}' for note in self.notes]
        return '\n'.join([f'{self.source} -> {self.target}: {self.keys}', *notes, self.code])

    def config(self, file: str | Path) -> str:
        """Write the whole config for the written file; for another library the line that builds the network there."""
        weights, family = self.keys.tensors, family_of(self.network.family)
        if self.target == 'mmdet':
            return legacy_config(self.network, weights)
        has_classifier = not weights.keys().isdisjoint(('head.fc.weight', 'backbone.fc.weight'))
        if self.target == 'mmpretrain' and family.classifier_config and has_classifier:
            return classifier_config(self.network, weights)
        return detector_config(self.network, file) if self.target in OURS and family.detector_stages else self.code


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
    """Convert a checkpoint.

    Args:
        src: See :func:`read_weights`.
        dst: The file to write, ``.pth`` or ``.safetensors``; its folder is created.
        source: One of :data:`eca_mm.convert.SOURCES`; recognised by its keys if None.
        to: One of :data:`eca_mm.convert.TARGETS`, mmpretrain if None. A detector of MMDetection 1.x becomes one
            of mmdet 3 if None.
        entry: The entry of the checkpoint that holds the weights, see :func:`read_weights`.
        style: Of a ResNet's bottlenecks, 'pytorch' or 'caffe', which no tensor shows; None for that of the file's config, or
            else 'pytorch', with a note.
        force: Overwrite `dst`.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file cannot be read safely; if a key is unexpected or missing, has another shape or dtype, or holds
            NaN or infinity; if it is not the file that is known by that name; if the target has no such network; if `dst`
            exists or cannot be written. Nothing is written then.
    """
    if Path(dst).suffix not in SUFFIXES:
        raise UserError(f'the converted file must end in {" or ".join(SUFFIXES)}, got {dst}')
    for name, value, known in (
        ('source', source, SOURCES),
        ('to', to, TARGETS),
        ('style', style, ('pytorch', 'caffe')),
    ):
        if value not in (None, *known):
            raise UserError(f'`{name}` must be one of {", ".join(known)}, got {value!r}')
    path = check_output(dst, force=force)
    weights = read_weights(src, entry)
    if style and weights.config.get('style', style) != style:
        raise UserError(f'`style={style!r}`: the config in {src} says style={weights.config["style"]!r}')
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
    """Convert weights in memory, see :func:`convert_checkpoint`; they may be on the device meta.

    If ``name`` is a known file's, ECA's kernel sizes must be those of that file.
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
            'alone, `to="backbone"` or `to="mmpretrain"`'
        )
    if layout.source == 'mmdet' and to not in (None, *OURS):
        raise UserError(f'it is a detector, and {to} has none like it: `to="backbone"` takes its backbone alone')
    family = find_family(ours.tensors)
    network = family.infer(ours.tensors, weights.config)
    notes = _notes(weights, 'mmdet1' if detector else layout.source, source is not None, family, network)
    if upgraded:
        return Converted(upgraded, 'mmdet1', 'mmdet', network, network.code, notes)
    to = to or 'mmpretrain'
    target = family.target(network, to)
    keys = ours.then(to_theirs(ours.tensors, target))
    return Converted(keys, 'mmdet1' if detector else layout.source, to, network, target.code, notes)


def _notes(weights: Weights, source: str, source_given: bool, family: Family, network: Architecture) -> list[str]:
    """List the assumptions about what no tensor shows."""
    notes = [weights.note] if weights.note else []
    config_only = family.config_only(network.arguments, {})
    if (
        config_only
        and not weights.config
        and not weights.note
        and source in ('mmpretrain', 'mmdet', 'mmdet1', 'backbone')
    ):
        style = "style='pytorch', " if 'style' in config_only else ''
        other = '; `style="caffe"` says otherwise' if style else ''
        notes.append(f'the file has no config, so {style}the usual strides and no dilations are assumed{other}')
    return notes + family.notes(source, source_given or weights.named)
