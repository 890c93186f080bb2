"""The three formats: ONNX, torch.export and TorchScript. Each is written to a file and read back from it."""

import importlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eca_mm.errors import UserError
from eca_mm.export.exported_part import ExportedPart

OPSET = 18  # of ai.onnx: ONNX 1.13, of December 2022; the least that torch's exporter writes without converting

Run = Callable[[Tensor], Sequence[Tensor]]
Write = Callable[[ExportedPart, Tensor, bool, Mapping[str, str], Path], None]


class Format(NamedTuple):
    label: str  # in reports
    packages: tuple[str, ...]  # that it needs
    write: Write  # takes the network, images as an example, whether batch and size are free, the metadata, and the file
    read: Callable[[Path], Run]  # what it returns runs on the CPU


@contextmanager
def quietly(what: str) -> Iterator[None]:
    """Hides the exporters' warnings, which concern their authors, and makes a sentence of an error.

    Raises:
        UserError: For any error: what an exporter cannot follow is raised as one of dozens of types.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            first = str(error).strip().splitlines() or ['']
            raise UserError(f'{what} failed ({type(error).__name__}: {first[0]})') from error


def _write_onnx(network: ExportedPart, images: Tensor, dynamic: bool, metadata: Mapping[str, str], file: Path) -> None:
    program: Any = torch.onnx.export(
        network,
        (images,),
        dynamo=True,
        input_names=['images'],
        output_names=list(network.outputs(images)),
        dynamic_shapes={'images': {0: 'batch', 2: 'height', 3: 'width'}} if dynamic else None,
        opset_version=OPSET,
        verbose=False,
    )
    program.model.metadata_props.update(metadata)
    program.save(file, external_data=False)
    importlib.import_module('onnx').checker.check_model(str(file), full_check=True)


def _read_onnx(file: Path) -> Run:
    runtime: Any = importlib.import_module('onnxruntime')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(file), options, providers=['CPUExecutionProvider'])
    return lambda images: [torch.from_numpy(a) for a in session.run(None, {'images': images.numpy()})]


def _write_pt2(network: ExportedPart, images: Tensor, dynamic: bool, metadata: Mapping[str, str], file: Path) -> None:
    free = {'images': dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)} if dynamic else None
    program = torch.export.export(network, (images,), dynamic_shapes=free)
    torch.export.save(program, file, extra_files={'metadata.json': json.dumps(metadata)})


def _write_script(network: ExportedPart, images: Tensor, _: bool, metadata: Mapping[str, str], file: Path) -> None:
    traced = torch.jit.trace(network, (images,), check_trace=False)  # batch and size are always free
    torch.jit.save(traced, str(file), _extra_files={'metadata.json': json.dumps(metadata)})


_SCRIPT = Format('TorchScript', (), _write_script, lambda file: torch.jit.load(file))
FORMATS = {  # by the suffix of the file
    '.onnx': Format(f'ONNX, opset {OPSET}', ('onnx', 'onnxruntime', 'onnxscript'), _write_onnx, _read_onnx),
    '.pt2': Format('torch.export', (), _write_pt2, lambda file: torch.export.load(file).module()),
    '.ts': _SCRIPT,
    '.pt': _SCRIPT,
}


def format_of(dst: Path) -> Format:
    """The format that a file's suffix tells.

    Raises:
        UserError: If it tells none, or a package that the format needs does not import.
    """
    kind = FORMATS.get(dst.suffix.lower())
    if kind is None:
        raise UserError(f'{dst} has none of the suffixes {", ".join(FORMATS)}, which name the format: rename it')
    try:
        for package in kind.packages:
            importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f'{kind.label} needs {", ".join(kind.packages)}, and {error.name} does not import: '
            f'pip install {" ".join(kind.packages)}'
        ) from error
    return kind
