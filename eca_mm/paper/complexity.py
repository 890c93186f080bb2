"""Parameters and operations of the papers' rows: as a paper counts them, and all of them.

The ``count_...`` functions are what a :class:`Table` names as its ``count``. They give the texts of every column of counts
that papers have; a table takes those that it has a column for.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from eca_mm.analysis.complexity import MMCV, THOP, Convention, count_modules, count_operators, parameters
from eca_mm.checkpoints.weights import EmptyOnMeta
from eca_mm.paper.table import Measured, Measurement, Row, Table

ALL_COUNTED = ('Parameters', 'GMACs')  # our own columns, beside the paper's
SOURCE = 'measured now'


def measure_complexity(tables: Iterable[Table]) -> Measured:
    """Counts of every row, on the meta device: no data, weights or GPU.

    Beside the paper's columns come 'Parameters', all of them in 10^6, and 'GMACs', the multiply-adds of convolutions and
    matrix products in 10^9, if the table has operations.
    """
    return {
        (table.name, row.config, column): measurement
        for table in tables
        if table.count is not None
        for row in table.rows
        for column, measurement in table.count(row).items()
        if column in (*table.columns, *ALL_COUNTED)
    }, []


def build_on_meta(row: Row) -> Any:
    """The model of a row on the meta device, in evaluation mode."""
    with EmptyOnMeta():
        return row.build().eval().to('meta')


def count_attention(
    row: Row, formulas: Mapping[str, Callable[[int], int]], layers: int, plain: str
) -> dict[str, Measurement]:
    """The formula of one attention layer, if all layers of the network follow it, else the first that does not.

    Args:
        row: Its 'Param.' is a formula.
        formulas: Formula -> parameters of a layer with C channels.
        layers: How many the network has.
        plain: The method that has none.
    """
    found = attention_layers(build_on_meta(row))
    formula = row.printed['Param.'] or ''
    wrong = [] if len(found) == (0 if row.method == plain else layers) else [f'{len(found)} layers']
    wrong += [f'{parameters(layer)} at C = {c}' for c, layer in found if parameters(layer) != formulas[formula](c)]
    total = sum(parameters(layer) for _, layer in found)
    return {'Param.': Measurement(total, wrong[0] if wrong else formula, SOURCE, f'{total} in {len(found)} layers')}


def attention_layers(model: Any) -> list[tuple[int, nn.Module]]:
    """The layers in the blocks' attention slots, with their channels."""
    blocks = [module for module in model.modules() if hasattr(module, 'slot')]
    return [(block.out_channels, block.slot) for block in blocks if type(block.slot) is not nn.Identity]


def count_classifier(
    row: Row,
    *,
    kilo: int = 1000,
    convention: Convention = THOP,
    by_group: Mapping[str, Convention] | None = None,
    copied: Mapping[str, Convention | None] | None = None,
) -> dict[str, Measurement]:
    """Counts on an image of 224 x 224.

    Args:
        row: Of a classifier.
        kilo: What the paper's M is the square of, and its G the cube: 1000 or 1024.
        convention: How the paper counted operations.
        by_group: Other conventions, for the rows of a group.
        copied: For rows, by their config, whose numbers the paper copied from their own papers, in 10^6 and 10^9: how these
            counted, None for all multiply-adds.
    """
    copied = copied or {}
    model = build_on_meta(row)
    image = torch.empty(1, 3, 224, 224, device='meta')
    convention = copied.get(row.config) or (by_group or {}).get(row.group, convention)
    modules: list[int] = []
    macs = count_operators(  # of the same forward pass
        lambda: modules.append(count_modules(model, lambda: model(image, mode='tensor'), convention))
    )
    total = parameters(model)
    if row.config in copied:
        kilo = 1000
    operations = macs if copied.get(row.config, convention) is None else modules[0]
    return _measured(row, total, operations, kilo, total, macs)


def count_detector(row: Row) -> dict[str, Measurement]:
    """Counts as MMDetection 1.x gives them: trained parameters, and heads with a class for the background.

    3 x 800 x 1280 goes through backbone, FPN and RPN, 1000 proposals through the box head, 100 through the mask head.
    """
    model = build_on_meta(row)
    total, macs = parameters(model), count_operators(lambda: _forward_detector(model))
    # There the background has a box regressor and a mask too: 81 classes.
    model.roi_head.bbox_head.fc_reg = nn.Linear(1024, 4 * 81, device='meta')
    if model.with_mask:
        model.roi_head.mask_head.conv_logits = nn.Conv2d(256, 81, 1, device='meta')
    operations = count_modules(model, lambda: _forward_detector(model), MMCV)
    return _measured(row, parameters(model, trainable=True), operations, 1000, total, macs)


def _forward_detector(model: Any) -> None:
    image = torch.empty(1, 3, 800, 1280, device='meta')
    model.rpn_head(model.extract_feat(image))
    model.roi_head.bbox_head(torch.empty(1000, 256, 7, 7, device='meta'))
    if model.with_mask:
        model.roi_head.mask_head(torch.empty(100, 256, 14, 14, device='meta'))


def _measured(row: Row, printed: int, operations: int, kilo: int, total: int, macs: int) -> dict[str, Measurement]:
    """The paper's parameters and operations in its units, and all of ours."""
    flops = f'{operations / kilo**3:.2f}'
    in_millions = (row.printed.get('FLOPs') or '').endswith('M')
    note = 'multiply-adds of convolutions and matrix products, in 10^9'
    return {
        'Param.': Measurement(printed, f'{printed / kilo**2:.2f}M', SOURCE),
        'FLOPs': Measurement(operations, f'{operations / kilo**2:.1f}M' if in_millions else f'{flops}G', SOURCE),
        'GFLOPs': Measurement(operations, flops, SOURCE),
        'Parameters': Measurement(total, f'{total / 1e6:.2f}M', SOURCE, 'all parameters, in 10^6'),
        'GMACs': Measurement(macs, f'{macs / 1e9:.3f}', SOURCE, note),
    }
