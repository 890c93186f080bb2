"""The models that can be timed: the rows of the papers' tables, and timm's networks as their peers."""

import difflib
import importlib
import importlib.util
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from torch import nn

from eca_mm.analysis.workload import MODES, BenchmarkModel, BenchmarkSettings
from eca_mm.errors import UserError
from eca_mm.models.backbones.base import AttentionBlock
from eca_mm.paper.tables import TABLES

LAYERS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def benchmark_models(names: Sequence[str] = (), *, detectors: bool = False, peers: bool = True) -> list[BenchmarkModel]:
    """The models to measure: classifiers, detectors, then peers, in the order of the tables.

    Args:
        names: Configs of the tables that are timed, or peers. Each brings the first row of its group along, which it is
            compared with. By default all classifiers. With '@layers' behind it, a config's blocks end
            layer by layer, without the fast paths of docs/speed.md.
        detectors: Without names: the detectors too.
        peers: Without names: timm's networks too, if timm is installed: 'timm/resnet50', 'timm/seresnet50',
            'timm/ecaresnet50' and so on, which are ``timm.models.resnet.ResNet(Bottleneck, layers)``, plain or with
            ``block_args=dict(attn_layer='se')`` or ``'eca'``, and timm's defaults otherwise.

    Raises:
        UserError: If a name is unknown, or timm is not installed for it.
    """
    rows = sorted(_rows(), key=lambda model: model.detector)
    known = {model.name: model for model in (*rows, *_peers())}
    wanted = {name.removeprefix('configs/').removesuffix('.py') for name in names} or {
        m.name for m in known.values() if (detectors or not m.detector) and (peers or not m.name.startswith('timm/'))
    }
    for m in rows:
        known[f'{m.name}@layers'] = m._replace(name=f'{m.name}@layers', build=partial(_build_layers, m.build))
    for name in sorted(wanted - set(known)):
        if name.startswith('timm/') and not importlib.util.find_spec('timm'):
            raise UserError(f'{name} needs timm: pip install timm')
        near = difflib.get_close_matches(name, known, n=3)
        hint = f'did you mean {" or ".join(near)}?' if near else f'choose from {", ".join(known)}'
        raise UserError(f'unknown model {name!r}: {hint}')
    wanted |= {known[name].baseline for name in wanted}
    return [model for model in known.values() if model.name in wanted]


def everything(device: str, rounds: int = 15) -> Iterator[tuple[list[BenchmarkModel], BenchmarkSettings]]:
    """The measurements of docs/speed.md for a device: ResNet-50 with ECA and SE, ours and timm's, and a detector."""
    gpu = device == 'cuda'
    ends = ('', '@layers')
    peers = [f'timm/{name}resnet50' for name in ('eca', 'se') if importlib.util.find_spec('timm')]
    classifiers = benchmark_models([*(f'imagenet/{n}_resnet50{end}' for n in ('eca', 'se') for end in ends), *peers])
    detectors = benchmark_models([f'faster_rcnn_eca_r50_fpn_1x{end}' for end in ends])
    options: dict[str, Any] = dict(device=device, rounds=rounds, iterations=5 if gpu else 1)
    large = dict(options, modes=MODES, batch=128 if gpu else 8)
    yield classifiers, BenchmarkSettings(**large)
    yield classifiers, BenchmarkSettings(**large, channels_last=True)
    yield detectors, BenchmarkSettings(**options, modes=['inference'], batch=1)
    if gpu:
        yield classifiers, BenchmarkSettings(**large, channels_last=True, amp=True)
        yield classifiers, BenchmarkSettings(**large, channels_last=True, amp=True, compile=True)
        yield detectors, BenchmarkSettings(**options, modes=['train', 'inference'], batch=2, amp=True)


def _build_layers(build: Callable[[], nn.Module]) -> nn.Module:
    model = build()
    for block in model.modules():
        if isinstance(block, AttentionBlock):
            block.fused = False
    return model


def _rows() -> Iterator[BenchmarkModel]:
    for table in (t for t in TABLES.values() if t.timed):
        for row in table.rows:
            yield BenchmarkModel(row.config, table.first_of_group(row).config, row.build, table.benchmark != 'class')


def _peers() -> Iterator[BenchmarkModel]:
    if importlib.util.find_spec('timm'):
        for depth, attention in itertools.product(LAYERS, (None, 'se', 'eca')):
            build = partial(_build_peer, LAYERS[depth], attention)
            yield BenchmarkModel(f'timm/{attention or ""}resnet{depth}', f'timm/resnet{depth}', build)


def _build_peer(layers: tuple[int, ...], attention: str | None) -> nn.Module:
    resnet: Any = importlib.import_module('timm.models.resnet')
    return resnet.ResNet(resnet.Bottleneck, layers, block_args=dict(attn_layer=attention))
