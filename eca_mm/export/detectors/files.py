"""Detectors as files: ONNX, with thresholds that can be changed when it runs, and torch.export."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eca_mm.errors import UserError
from eca_mm.export.detectors.network import ExportedDetector
from eca_mm.export.formats import OPSET


def trace(network: ExportedDetector, images: Tensor, dynamic: bool) -> Any:
    """The detector as a program of torch.export.

    Raises:
        UserError: If this torch has no exporter that follows detections, whose number depends on the image.
    """
    if tuple(int(n) for n in torch.__version__.split('.')[:2]) < (2, 6):
        raise UserError(
            f'a whole detector is exported with torch 2.6 or newer, and this is {torch.__version__}: update it'
        )
    inputs = network.defaults(len(images))
    free = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC} if dynamic else None
    shapes = {'images': free, **dict.fromkeys(inputs)}
    return torch.export.export(network, (images,), inputs, dynamic_shapes=shapes, strict=False)


def write_pt2(program: Any, metadata: Mapping[str, str], file: Path) -> None:
    torch.export.save(program, file, extra_files={'metadata.json': json.dumps(metadata)})


def write_onnx(
    program: Any,
    network: ExportedDetector,
    batch: int,
    preprocessing: nn.Module | None,
    metadata: Mapping[str, str],
    file: Path,
) -> None:
    """Write the program as ONNX, behind the preprocessing if there is one."""
    defaults = network.defaults(batch)
    model = _to_onnx(program, ['images', *defaults], network.output_names(batch))
    if preprocessing is not None:
        model = _behind(preprocessing, model)
    _make_changeable(model, {name: value for name, value in defaults.items() if name in _names(model.graph.input)})
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx = importlib.import_module('onnx')
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(file))


def _to_onnx(program: Any, inputs: list[str], outputs: list[str]) -> Any:
    written: Any = torch.onnx.export(
        program, dynamo=True, input_names=inputs, output_names=outputs, opset_version=OPSET, verbose=False
    )
    return written.model_proto


def _behind(preprocessing: nn.Module, detector: Any) -> Any:
    """One graph: the image is resized and normalised, and its detections are in its own pixels."""
    compose = importlib.import_module('onnx.compose')
    image = torch.zeros(97, 131, 3, dtype=torch.uint8)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.export.export(preprocessing, (image,), dynamic_shapes={'image': free}, strict=False)
    names = ['images', 'sizes', 'factors']
    first = _to_onnx(program, ['image'], [f'{name}_of_image' for name in names])
    _compute_outputs(first)
    for model in (first, detector):
        # Both use the same names for other lengths, which onnxruntime would take for equal.
        del model.graph.value_info[:]
        for value in (*model.graph.input, *model.graph.output):
            for dim in value.type.tensor_type.shape.dim:
                dim.ClearField('dim_param')
    first = compose.add_prefix(first, 'preprocessing/', rename_inputs=False, rename_outputs=False)
    first.ir_version = detector.ir_version = max(first.ir_version, detector.ir_version)
    return compose.merge_models(first, detector, io_map=[(f'{name}_of_image', name) for name in names])


def _compute_outputs(model: Any) -> None:
    """Have a node compute each output: one that is constant, such as a size that is always the same, cannot be connected."""
    helper = importlib.import_module('onnx.helper')
    outputs = _names(model.graph.output)
    for constant in model.graph.initializer:
        if constant.name in outputs:
            name, constant.name = constant.name, f'{constant.name}_constant'
            model.graph.node.append(helper.make_node('Identity', [constant.name], [name]))


def _make_changeable(model: Any, defaults: Mapping[str, Tensor]) -> None:
    """Give inputs a default, and make the IoU threshold of the last NMS an input that has one.

    An initializer with the name of an input is ONNX's default for it.
    """
    numpy_helper = importlib.import_module('onnx.numpy_helper')
    helper = importlib.import_module('onnx.helper')
    model.graph.initializer.extend(numpy_helper.from_array(value.numpy(), name) for name, value in defaults.items())
    suppressing = [node for node in model.graph.node if node.op_type == 'NonMaxSuppression']
    if not suppressing:
        return
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == 'Constant'}
    last = {node.input[3] for node in suppressing[-1:]}
    threshold = numpy_helper.to_array(constants[last.pop()]).reshape(1)
    model.graph.initializer.append(numpy_helper.from_array(threshold, 'iou_threshold'))
    kind = helper.np_dtype_to_tensor_dtype(threshold.dtype)
    model.graph.input.append(helper.make_tensor_value_info('iou_threshold', kind, [1]))
    suppressing[-1].input[3] = 'iou_threshold'


def _names(values: Any) -> set[str]:
    return {value.name for value in values}
