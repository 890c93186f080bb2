"""Parameters and operations of the paper's rows: as the paper counts them, and honestly."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import nn

from eca_mm.analysis.complexity import MMCV, THOP, THOP_MOBILENET, Count, count_modules, count_operators, parameters
from eca_mm.paper.benchmark_models import build_row
from eca_mm.paper.cells import Measurement
from eca_mm.paper.tables import Row, Table
from eca_mm.paths import CONFIGS

# Weights of one attention layer with C channels; r = 16 and k = 3 in Table 1.
FORMULAS: dict[str, Callable[[int], int]] = {
    '0': lambda c: 0,
    '2*C^2/r': lambda c: 2 * c**2 // 16,
    'C': lambda c: c,
    'C^2': lambda c: c**2,
    'C^2/16': lambda c: c**2 // 16,
    '16*C': lambda c: 16 * c,
    '8*C': lambda c: 8 * c,
    'k*C': lambda c: 3 * c,
    'k': lambda c: 3,
}
SOURCE = 'measured now'
HONEST = ('Parameters', 'GMACs')  # columns beside the paper's
# Numbers that cannot be reached, what is reached, and why.
EXPLAINED = {
    ('imagenet/se_mobilenet_v2', 'FLOPs', '320.0M'): 'the pooling before the classifier is not counted, as in the rows of '
    'MobileNetV2 and ECA-Net, which agree; counted, it would give the 320.1 that is printed',
}  # fmt: skip


def complexity_measurements(tables: Iterable[Table]) -> dict[tuple[str, str, str], Measurement]:
    """Parameters and operations of every row that has a config, on the meta device: no data, weights or GPU.

    Tables 1 and 3 have no operations, Table 5 and Figure 4 none of either. Beside the paper's columns come 'Parameters',
    all of them in 10^6, and 'GMACs', the multiply-adds of convolutions and matrix products in 10^9.
    """
    cells = {}
    for table in tables:
        for row in table.rows if table.name in _TABLES else ():
            if (CONFIGS / f'{row.config}.py').is_file():
                for column, measurement in _TABLES[table.name](row).items():
                    cells[table.name, row.config, column] = measurement
    return cells


def build(config: str) -> Any:
    """The model of a config on the meta device, in evaluation mode."""
    return build_row(config).eval().to('meta')


def _table1(row: Row) -> dict[str, Measurement]:
    """The formula is shown if every attention layer of the network follows it, else the first layer that does not."""
    layers = _attention_layers(build(row.config))
    formula = row.printed['Param.'] or ''
    blocks = 0 if formula == '0' and not layers and row.method == 'Vanilla' else 16
    wrong = [] if len(layers) == blocks else [f'{len(layers)} layers']
    wrong += [f'{parameters(layer)} at C = {c}' for c, layer in layers if parameters(layer) != FORMULAS[formula](c)]
    total = sum(parameters(layer) for _, layer in layers)
    return {'Param.': Measurement(total, wrong[0] if wrong else formula, SOURCE, f'{total} in {len(layers)} layers')}


def _attention_layers(model: Any) -> list[tuple[int, nn.Module]]:
    return [
        (block.out_channels, getattr(block, block.attention_name))
        for block in model.modules()
        if getattr(block, 'attention_name', None) is not None
    ]


@cache
def _classifier(config: str) -> tuple[int, Count, Count]:
    model = build(config)
    image = torch.empty(1, 3, 224, 224, device='meta')
    convention = THOP_MOBILENET if 'mobilenet' in config else THOP

    def forward() -> None:
        model(image, mode='tensor')

    return parameters(model), count_modules(model, forward, convention), count_operators(forward)


def _table2(row: Row) -> dict[str, Measurement]:
    total, paper, honest = _classifier(row.config)
    scale, digits, unit = (2**20, 1, 'M') if str(row.printed['FLOPs']).endswith('M') else (2**30, 2, 'G')
    flops = f'{paper.total / scale:.{digits}f}{unit}'
    return {
        'Param.': Measurement(total, f'{total / 2**20:.2f}M', SOURCE),
        'FLOPs': Measurement(paper.total, flops, SOURCE, EXPLAINED.get((row.config, 'FLOPs', flops), '')),
        **_honest(total, honest),
    }


def _table4(row: Row) -> dict[str, Measurement]:
    """3 x 800 x 1280 through backbone, FPN and RPN, 1000 proposals through the box head, 100 through the mask head."""
    model = build(row.config)
    total = parameters(model)
    honest = count_operators(lambda: _forward_detector(model))
    _give_heads_of_mmdet_1(model)
    trained = parameters(model, trainable=True)
    paper = count_modules(model, lambda: _forward_detector(model), MMCV)
    return {
        'Param.': Measurement(trained, f'{trained / 1e6:.2f}M', SOURCE),
        'GFLOPs': Measurement(paper.total, f'{paper.total / 1e9:.2f}', SOURCE),
        **_honest(total, honest),
    }


def _forward_detector(model: Any) -> None:
    image = torch.empty(1, 3, 800, 1280, device='meta')
    model.rpn_head(model.extract_feat(image))
    model.roi_head.bbox_head(torch.empty(1000, 256, 7, 7, device='meta'))
    if model.with_mask:
        model.roi_head.mask_head(torch.empty(100, 256, 14, 14, device='meta'))


def _give_heads_of_mmdet_1(model: Any) -> None:
    """There the background had a box regressor and a mask too: 81 classes."""
    model.roi_head.bbox_head.fc_reg = nn.Linear(1024, 4 * 81, device='meta')
    if model.with_mask:
        model.roi_head.mask_head.conv_logits = nn.Conv2d(256, 81, 1, device='meta')


def _honest(total: int, count: Count) -> dict[str, Measurement]:
    uncounted = ', '.join(sorted(count.uncounted))
    return {
        'Parameters': Measurement(total, f'{total / 1e6:.2f}M', SOURCE, 'all parameters, in 10^6'),
        'GMACs': Measurement(
            count.total,
            f'{count.total / 1e9:.3f}',
            SOURCE,
            f'multiply-adds of convolutions and matrix products, in 10^9; not counted: {uncounted}',
        ),
    }


_TABLES: dict[str, Callable[[Row], dict[str, Measurement]]] = {
    'table1': _table1,
    'table2': _table2,
    'table4': _table4,
}
