"""The configs that come with the package: finding one by its name, and what is said of each."""

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from eca_mm.errors import MissingFileError
from eca_mm.paths import CONFIGS


class Described(NamedTuple):
    """A config of the package."""

    name: str  # what find_config takes
    title: str  # the first line of its docstring: the network, and its row of a table
    weights: str | None  # what its backbone starts from


def find_config(config: str | Path) -> Path:
    """Find a config: a file, or by its name one of the package.

    Args:
        config: The path of a file, or, where there is none, ``faster_rcnn_eca_r50_fpn_1x``, ``imagenet/eca_resnet50`` or, as
            in a clone, ``configs/imagenet/eca_resnet50.py``. The folder may be left out: ``eca_resnet50``.

    Raises:
        MissingFileError: If there is none, with names that are close.
    """
    path = Path(config)
    if path.is_file():
        return path
    name = path.as_posix().removeprefix('configs/').removesuffix('.py')
    known = {file.relative_to(CONFIGS).with_suffix('').as_posix(): file for file in _files()}
    for key, file in known.items():
        if name == key or ('/' not in name and name == file.stem):
            return file
    beside = [
        str(path.with_name(f'{near}.py')) for near in _close(path.stem, [f.stem for f in path.parent.glob('*.py')])
    ]
    near = beside or [
        key for key in known if Path(key).name in _close(path.stem, [file.stem for file in known.values()])
    ]
    hint = f'; there is {", ".join(near)}' if near else '; eca-mm configs lists those of the package'
    raise MissingFileError(f'config not found: {config}{hint}')


def describe_configs() -> list[Described]:
    """All configs of the package, in the order of their folders and names."""
    return [
        Described(file.relative_to(CONFIGS).with_suffix('').as_posix(), _title(file), _weights(file))
        for file in sorted(_files(), key=lambda file: (len(file.parts), file))
    ]


def _files() -> Iterator[Path]:
    return (file for file in CONFIGS.rglob('*.py') if '_base_' not in (file.stem, file.parent.name))


def _close(name: str, names: list[str]) -> list[str]:
    return difflib.get_close_matches(name, names, n=3)


def _title(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding='utf-8'))) or '').partition('\n')[0]


def _weights(file: Path) -> str | None:
    """``backbone_weights`` of a config, or of the file that it inherits from."""
    values = {}
    for line in ast.parse(file.read_text(encoding='utf-8')).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            values[line.targets[0].id] = line.value
    if 'backbone_weights' in values:
        weights: str | None = ast.literal_eval(values['backbone_weights'])
        return weights
    bases = ast.literal_eval(values['_base_']) if '_base_' in values else []
    for base in [bases] if isinstance(bases, str) else bases:
        if '::' not in base and (found := _weights(file.parent / base)):
            return found
    return None
