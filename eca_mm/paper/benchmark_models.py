"""The models that can be measured: the rows of the paper's tables, and timm's networks as their peers."""

import difflib
import importlib
import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from torch import nn

from eca_mm.analysis.workload import BenchmarkModel
from eca_mm.engine import load_config
from eca_mm.engine.model import build_model
from eca_mm.errors import UserError
from eca_mm.paper.tables import TABLES
from eca_mm.paths import CONFIGS

LAYERS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def benchmark_models(names: Sequence[str] = (), *, detectors: bool = False, peers: bool = True) -> list[BenchmarkModel]:
    """The models to measure, in the order of the tables.

    Args:
        names: Configs of Tables 2 and 4 as in the tables, or peers. Each brings its plain network along. By default all
            of Table 2 that have a config.
        detectors: Without names: the detectors of Table 4 too.
        peers: Without names: timm's networks too, if timm is installed: 'timm/resnet50', 'timm/seresnet50',
            'timm/ecaresnet50' and so on, which are ``timm.models.resnet.ResNet(Bottleneck, layers)``, plain or with
            ``block_args=dict(attn_layer='se')`` or ``'eca'``, and timm's defaults otherwise.

    Raises:
        ValueError: If a name is unknown or has no config.
    """
    known = {c.name: c for c in (*_rows('table2'), *_rows('table4', detector=True), *_peers())}
    wanted = {name.removeprefix('configs/').removesuffix('.py') for name in names} or {
        c.name for c in known.values() if (detectors or not c.detector) and (peers or not c.name.startswith('timm/'))
    }
    for name in sorted(wanted - set(known)):
        raise UserError(_unknown(name, list(known)))
    wanted |= {known[name].baseline for name in wanted}
    return [c for c in known.values() if c.name in wanted]


def _rows(table: str, detector: bool = False) -> Iterator[BenchmarkModel]:
    plain: dict[str, str] = {}
    for row in TABLES[table].rows:
        plain.setdefault(row.group, row.config)
        if (CONFIGS / f'{row.config}.py').is_file():
            yield BenchmarkModel(row.config, plain[row.group], partial(build_row, row.config), detector)


def _peers() -> Iterator[BenchmarkModel]:
    if importlib.util.find_spec('timm'):
        for depth, attention in itertools.product(LAYERS, (None, 'se', 'eca')):
            plain = f'resnet{depth}'
            yield BenchmarkModel(
                f'timm/{attention or ""}{plain}', f'timm/{plain}', partial(_build_peer, LAYERS[depth], attention)
            )


def _build_peer(layers: tuple[int, ...], attention: str | None) -> nn.Module:
    resnet: Any = importlib.import_module('timm.models.resnet')
    return resnet.ResNet(resnet.Bottleneck, layers, block_args=dict(attn_layer=attention))


def _unknown(name: str, known: list[str]) -> str:
    if any(row.config == name for table in ('table2', 'table4') for row in TABLES[table].rows):
        return f'{name} has no implementation yet: there is no configs/{name}.py'
    if name.startswith('timm/') and not importlib.util.find_spec('timm'):
        return f'{name} needs timm: pip install timm'
    near = difflib.get_close_matches(name, known, n=3)
    hint = f'did you mean {" or ".join(near)}?' if near else f'choose from {", ".join(known)}'
    return f'unknown model {name!r}: {hint}'


def build_row(config: str) -> nn.Module:
    """The model of a config file, given by its name in the tables, with random weights."""
    cfg = load_config(CONFIGS / f'{config}.py', cfg_options={'model.backbone.init_cfg': None})
    return build_model(cfg)
