"""Every attention layer in every backbone: what works, as the table of docs/backbones.md. Half an hour on two cores.

    python -m tests.models.matrix                       # prints the table, and what does not work, with the reason
    python -m tests.models.matrix ECALayer DenseNet     # some rows and columns, by their names
    python -m tests.models.matrix --backend inductor ECALayer ResNet-18

Each network is built and trained a step with eight images of 64 pixels (Inception 128), where every weight must get a
gradient; then, in evaluation and with the first two blocks of each stage where the others are like the second, torch.compile
must capture it as one graph, and onnxruntime must run its ONNX file, both with its outputs within 1e-3 of the greatest.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from mmengine.registry import MODELS
from torch import nn

import eca_mm  # noqa: F401  (registers everything)
from eca_mm.export.formats import FORMATS
from eca_mm.models.backbones.base import AttentionBlock

LAYERS = {
    'SELayer': dict(ratio=8), 'SEVar1Layer': {}, 'SEGCLayer': dict(groups=8), 'ECANSLayer': {}, 'ECALayer': {},
    'ECASpatialLayer': {}, 'CBAMLayer': dict(ratio=8), 'SpatialAttentionLayer': {}, 'DoubleAttentionLayer': {},
    'GSoPLayer': {}, 'GCLayer': dict(ratio=8),
    'CoordinateAttentionLayer': {}, 'SimAMLayer': {},
}  # fmt: skip
EFFICIENTNET = dict(backbone=dict(type='mmpretrain.EfficientNet', arch='b0'), behind=r'layers\.\d\.\d+\.linear_conv')
REGNET = dict(
    backbone=dict(type='mmpretrain.TIMMBackbone', model_name='regnety_002', features_only=True),
    behind=r'timm_model\.s\d\.b\d+\.conv3',
)
BACKBONES = {
    'ResNet-18': dict(type='AttentionResNet', depth=18), 'ResNet-50': dict(type='AttentionResNet', depth=50),
    'ResNeXt-50': dict(type='AttentionResNeXt', depth=50), 'PreAct-50': dict(type='AttentionPreActResNet', depth=50),
    'DenseNet-121': dict(type='AttentionDenseNet'), 'Inception-v3': dict(type='AttentionInceptionV3'),
    'MobileNetV2': dict(type='AttentionMobileNetV2'), 'EfficientNet-B0': dict(type='AttentionBehind', **EFFICIENTNET),
    'RegNetY (timm)': dict(type='AttentionBehind', **REGNET),
}  # fmt: skip


class Network(nn.Module):
    """A backbone, whose outputs are a tuple of tensors."""

    def __init__(self, layer: str, backbone: str, short: bool = False) -> None:
        super().__init__()
        shorter = (
            {'DenseNet-121': dict(arch=dict(growth_rate=32, depths=(2, 2, 2, 2), init_channels=64))} if short else {}
        )
        config = BACKBONES[backbone] | shorter.get(backbone, {})
        self.model = MODELS.build(config | dict(attention=dict(type=layer, **LAYERS[layer])))
        for name, stage in list(self.model.named_children()) if short else ():
            if blocks := [m for m in stage.children() if isinstance(m, AttentionBlock)]:
                setattr(self.model, name, nn.Sequential(*[m for m in stage if m not in blocks[2:]]))
            elif name in ('Mixed_5d', 'Mixed_6c', 'Mixed_6d', 'Mixed_6e', 'Mixed_7c'):
                setattr(self.model, name, nn.Identity())

    def outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        out = self.model(images)
        out = out if isinstance(out, tuple) else (out,)
        return {f'y{i}': y for i, y in enumerate(out) if y is not None}  # Inception's auxiliary logits are None

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.outputs(images).values())


def trains(network: Network, images: torch.Tensor) -> None:
    """A step forward and backward, which also gives the norms the statistics of images."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    network.train()
    sum(y.square().mean() for y in network(images)).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without, f'no gradient: {", ".join(without[:3])}'


def same(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
    for y, z in zip(found, expected, strict=True):
        difference = (y - z).abs().max() / z.abs().max()
        assert difference < 1e-3, f'differs by {difference:.1e} of the greatest value'


def compiles(network: Network, images: torch.Tensor, backend: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    with torch.no_grad():
        same(compiled(images[:2]), network(images[:2]))


def exports(network: Network, images: torch.Tensor) -> None:
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        file = Path(folder, 'network.onnx')
        FORMATS['onnx'].write(network, images[:2], False, {}, file)
        same(FORMATS['onnx'].read(file)(images[:2]), network(images[:2]))


def cell(layer: str, backbone: str, backend: str) -> dict[str, Any]:
    """Its millions of parameters, and, if there is one, the first test that fails, and why; without a backend the first two."""
    start, result = time.perf_counter(), dict[str, Any]()
    torch.manual_seed(0)
    images = torch.randn(8, 3, *[128 if backbone == 'Inception-v3' else 64] * 2)
    whole: Any = None
    short: Any = None

    def build() -> None:
        nonlocal whole
        whole = Network(layer, backbone)
        result['parameters'] = sum(p.numel() for p in whole.parameters()) / 1e6

    def shorten() -> None:
        nonlocal short
        short = Network(layer, backbone, short=True)
        trains(short, images)
        short.eval()

    tests = dict(
        built=build,
        trained=lambda: trains(whole, images),
        shortened=shorten,
        compiled=lambda: compiles(short, images, backend),
        exported=lambda: exports(short, images),
    )
    for name, test in list(tests.items())[: None if backend else 2]:
        try:
            test()
        except Exception as error:
            result['not'], result['why'] = name, f'{type(error).__name__}: {str(error).strip()[:300]}'
            break
    return result | dict(backend=backend, seconds=round(time.perf_counter() - start, 1))


def table(cells: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Markdown: the parameters in millions where all works, else what does not."""
    layers, backbones = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    rows = [['layer', *backbones], ['---', *['--:'] * len(backbones)]]
    for layer in layers:
        entries = []
        for backbone in backbones:
            result = cells[layer, backbone]
            number = f'{result["parameters"]:.2f}{"" if result["backend"] else "*"}'
            entries.append(f'not {result["not"]}' if 'not' in result else number)
        rows.append([f'`{layer}`', *entries])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help='layers and backbones (default: all)')
    parser.add_argument('--backend', default='aot_eager', help='of torch.compile; "" to leave out that and ONNX')
    parser.add_argument('--json', type=Path, help='a file that gets the results, and keeps those that it has')
    a = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)
    warnings.simplefilter('ignore')
    cells = {}
    known = json.loads(a.json.read_text()) if a.json and a.json.exists() else {}
    for layer in [n for n in LAYERS if n in a.names] or LAYERS:
        for backbone in [n for n in BACKBONES if n in a.names] or BACKBONES:
            if (key := f'{layer} {backbone}') not in known:
                known[key] = cell(layer, backbone, a.backend)
                print(key, known[key], flush=True)
                if a.json:
                    a.json.write_text(json.dumps(known, indent=1))
            cells[layer, backbone] = known[key]
    print(f'\nMillions of parameters, torch {torch.__version__}, torch.compile with {a.backend}\n\n{table(cells)}')


if __name__ == '__main__':
    main()
