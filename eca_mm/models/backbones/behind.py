"""An attention layer behind modules of any backbone, by forward hooks: the backbone's code and its keys stay as they are."""

import copy
import difflib
import re
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.checkpoints.attention import Attention
from eca_mm.errors import UserError
from eca_mm.models.backbones.layers import build_attention


class Behind:
    """The forward hook that puts a layer behind a module.

    It is an object and not a function, so that a copied network calls its own layer.
    """

    def __init__(self, layer: nn.Module, channel_axis: int = 1, tokens: bool = False) -> None:
        self.layer = layer
        self.channel_axis = channel_axis
        self.tokens = tokens  # (N, L, C), for the layer one column, (N, C, L, 1)

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        x = output.movedim(self.channel_axis, 1)
        y = self.layer(x[..., None])[..., 0] if self.tokens else self.layer(x)
        return y.movedim(1, self.channel_axis)


def put_behind(module: nn.Module, attention: Attention, channels: int) -> None:
    """Puts a layer behind a module that is not a container, and registers it there by its name: ``<module>.eca``."""
    if attention is not None:
        name, layer = build_attention(attention, channels)
        module.add_module(name, layer)
        module.register_forward_hook(Behind(layer))


@MODELS.register_module()
def AttentionBehind(  # noqa: N802  (a type in configs)
    backbone: dict[str, Any],
    behind: str,
    attention: Attention,
    sizes: tuple[int, int] = (64, 96),
    **options: Any,
) -> nn.Module:
    """A backbone of mmdet, mmpretrain, timm or this package with an attention layer behind each module that a pattern names.

    What it returns is the backbone itself: its class, its features, its keys, so its pretrained weights load as they always
    do. The layers are beside its parts, under their own name: ``eca.layer1_0_bn3.conv.weight`` is that of
    ``layer1.0.bn3``. ``frozen_stages`` does not freeze them.

    How many channels a module has shows in its outputs, features (N, C, H, W) or (N, H, W, C), or tokens (N, L, C), for
    images of two sizes. To the layer they are (N, C, H, W), tokens (N, C, L, 1).

    docs/backbones.md has patterns for other architectures.

    Args:
        backbone: Its config: ``dict(type='mmpretrain.ConvNeXt', arch='tiny')``; one of timm is
            ``dict(type='mmpretrain.TIMMBackbone', model_name='regnety_016', features_only=True)``.
        behind: Regular expression that matches the whole name of a module, of those in ``named_modules()``.
        attention: Config of the layer, e.g. ``dict(type='eca_mm.ECALayer')``, built with ``in_channels`` of each module;
            None for the plain backbone.
        sizes: Heights, and widths, of the two images in pixels. Some networks need larger ones.
        options: Arguments of the backbone, over those in its config.

    Raises:
        UserError: If the pattern is no regular expression or matches nothing, a module's output has no channels, the layer
            is not registered or does not take so many channels, the backbone takes no images of these sizes, or there is such a
            layer behind a module already.
    """
    with MODELS.switch_scope_and_registry(None) as registry:
        network = registry.build({**backbone, **options})
    if attention is None:
        return network
    if len(sizes) != 2 or sizes[0] == sizes[1]:
        raise UserError(f'sizes must be two different numbers of pixels, got {sizes!r}')
    for name, (channels, axis, tokens) in _channels(network, _matches(network, behind), sizes).items():
        kind, layer = build_attention(attention, channels)
        key = name.replace('.', '_')
        layers = getattr(network, kind, None)
        if layers is None:
            network.add_module(kind, layers := nn.ModuleDict())
        if not isinstance(layers, nn.ModuleDict) or key in layers:
            raise UserError(
                f'behind={behind!r}: {type(network).__name__} has {kind} already, behind {name} or as a part'
            )
        layers[key] = layer
        network.get_submodule(name).register_forward_hook(Behind(layer, axis, tokens))
    return network


def _matches(network: nn.Module, pattern: str) -> list[str]:
    names = [name for name, _ in network.named_modules() if name]
    try:
        found = [name for name in names if re.fullmatch(pattern, name)]
    except (re.error, TypeError) as error:
        raise UserError(f'behind must be a regular expression, got {pattern!r}: {error}') from error
    if not found:
        near = difflib.get_close_matches(pattern.replace('\\', ''), names, n=3, cutoff=0.4) or names[:5]
        kind = type(network).__name__
        raise UserError(f'behind={pattern!r} matches no module of {kind}; names like it: {", ".join(near)}')
    return found


def _channels(network: nn.Module, names: list[str], sizes: tuple[int, int]) -> Mapping[str, tuple[int, int, bool]]:
    """Return number and axis of the channels in the outputs of modules, and whether these are tokens.

    The axis is the one on which the size of the image has no effect.
    """
    if any(p.is_meta for p in network.parameters()):  # where some constants are not
        network = copy.deepcopy(network).to('meta')
    first = next(network.parameters())
    seen: dict[str, list[Any]] = {name: [] for name in names}
    handles = [
        network.get_submodule(name).register_forward_hook(lambda module, inputs, output, s=shapes: s.append(output))
        for name, shapes in seen.items()
    ]
    network.eval()
    try:
        with torch.no_grad():
            for size in sizes:
                network(torch.zeros(1, 3, size, size, device=first.device, dtype=first.dtype))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f'{type(network).__name__} takes no images of {size} pixels, choose other sizes: {error}'
        ) from error
    for handle in handles:
        handle.remove()
    network.train()  # as it was built
    return {name: _axis(name, outputs) for name, outputs in seen.items()}


def _axis(name: str, outputs: list[Any]) -> tuple[int, int, bool]:
    if len(outputs) != 2 or not all(isinstance(y, Tensor) for y in outputs):
        kinds = ', '.join(type(y).__name__ for y in outputs) or 'nothing, as it is not called'
        raise UserError(f'behind names {name}, which gives {kinds}: choose modules that give features once per image')
    small, large = (y.shape for y in outputs)
    same = [axis for axis in range(1, len(small)) if small[axis] == large[axis]]
    if len(small) not in (3, 4) or not same:
        raise UserError(f'behind names {name}, whose outputs {[*small]} and {[*large]} have no axis of channels')
    return small[same[0]], same[0], len(small) == 3
