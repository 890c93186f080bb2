"""From a checkpoint of one library to a checkpoint of another: everything is accounted for, or nothing is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eca_mm.checkpoints.conversion import Conversion
from eca_mm.checkpoints.files import SUFFIXES, Weights, read_weights, write_weights
from eca_mm.checkpoints.fit import check_values
from eca_mm.checkpoints.keys import LAYOUTS, Layout, find_layout, to_ours
from eca_mm.checkpoints.known import check_kernel_sizes, sha256
from eca_mm.convert import mmdet1
from eca_mm.convert.network import Network, check, infer
from eca_mm.convert.targets import TARGETS, to_mmpretrain
from eca_mm.errors import UserError
from eca_mm.version import __version__

SOURCES = ('mmdet1', *dict.fromkeys(layout.source for layout in LAYOUTS))


@dataclass(frozen=True)
class Converted:
    """What :func:`convert` wrote.

    Attributes:
        conversion: What became of each key.
        source, target: Names of the formats.
        network: The backbone.
        line: The code that builds the network: a line of a config, or a call of timm's or torchvision's.
        notes: What is not known of the weights.
    """

    conversion: Conversion
    source: str
    target: str
    network: Network
    line: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = [f'note: {note}' for note in self.notes]
        return '\n'.join([f'{self.source} -> {self.target}: {self.conversion}', *notes, self.line])


def convert(
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
        source: One of `SOURCES`; recognised by its keys if None.
        to: One of `TARGETS`, mmpretrain if None. A detector of MMDetection 1.x becomes one of mmdet 3 if None.
        entry: The entry of the checkpoint that holds the weights, see :func:`read_weights`.
        force: Write over `dst`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read safely; if a key has no place, or is missing, or has another shape, or holds
            NaN, infinity or no numbers of the usual kinds; if it is not the file that is known by that name; if the target
            has no such network; if `dst` is there. Nothing is written then.
    """
    path = Path(dst).expanduser()
    _check_destination(path, force)
    weights = read_weights(src, entry)
    check_values(weights.tensors, src)
    if weights.path and path.exists() and path.samefile(weights.path):  # a URL or a name may stand for it
        raise UserError(f'{path} is the source itself, which is never written over')
    try:
        converted = _convert(weights, source, to, src)
    except ValueError as error:
        raise UserError(f'{src} cannot be converted: {error}') from error
    converted.conversion.dropped.update(weights.dropped)
    meta: dict[str, Any] = dict(
        tool=f'eca_mm {__version__}',
        source=converted.source,
        source_sha256=sha256(weights.path) if weights.path else None,
        target=converted.target,
        kernel_sizes=list(converted.network.kernel_sizes or ()),
        network=converted.line,
    )
    write_weights(converted.conversion.tensors, meta, path, bare=converted.target == 'torchvision')
    return converted


def _check_destination(path: Path, force: bool) -> None:
    if path.suffix not in SUFFIXES:
        raise UserError(f'the converted file must end in {" or ".join(SUFFIXES)}, got {path}')
    if path.is_dir():
        raise UserError(f'{path} is a folder')
    if path.exists() and not force:
        raise UserError(f'{path} is there already; --force writes over it')


def _convert(weights: Weights, source: str | None, to: str | None, name: str) -> Converted:
    old = source == 'mmdet1' or (source is None and mmdet1.recognises(weights.tensors))
    if old and to is None:
        return _convert_detector(weights, name)
    layout = find_layout(weights.tensors, 'mmdet' if old else source)
    ours, network = _understand(weights, layout, name)
    theirs, line = TARGETS[to or 'mmpretrain'](ours.tensors, network)
    notes = (*weights.notes, *_untold(weights, layout, network))
    return Converted(ours.then(theirs), 'mmdet1' if old else layout.source, to or 'mmpretrain', network, line, notes)


def _convert_detector(weights: Weights, name: str) -> Converted:
    conversion = mmdet1.upgrade(weights.tensors)
    if conversion.errors:
        more = f'; and {len(conversion.errors) - 4} more' if len(conversion.errors) > 4 else ''
        raise UserError('; '.join(conversion.errors[:4]) + more)
    upgraded = Weights(conversion.tensors, config=weights.config)
    ours, network = _understand(upgraded, find_layout(upgraded.tensors, 'mmdet'), name)
    line = to_mmpretrain(ours.tensors, network)[1]
    return Converted(conversion, 'mmdet1', 'mmdet', network, line, tuple(weights.notes))


def _understand(weights: Weights, layout: Layout, name: str) -> tuple[Conversion, Network]:
    ours = to_ours(weights.tensors, layout)
    check_kernel_sizes(name, ours.tensors)
    network = infer(ours.tensors, weights.config)
    check(network, ours.tensors)
    return ours, network


def _untold(weights: Weights, layout: Layout, network: Network) -> list[str]:
    if weights.arch or layout.source not in ('timm', 'torchvision') or network.kind != 'ResNet':
        return []
    return [
        "nothing tells whether it is anti-aliased, as timm's resnetaa50 and resnetblur50: such weights compute otherwise here"
    ]
