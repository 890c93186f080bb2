"""Layers of the blocks: convolutions and norms from configs, stochastic depth, and the layer of an attention slot.

Plain convolutions and batch norms need torch alone. Other ``conv_cfg`` and ``norm_cfg`` are built by mmcv.
"""

import difflib
import importlib.util
import inspect
import re
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.errors import UserError


def build_conv(cfg: dict[str, Any] | None, *args: Any, **kwargs: Any) -> nn.Module:
    """Build a convolution without bias: torch's, or the one that ``conv_cfg`` names."""
    kwargs['bias'] = False
    if cfg is None:
        return nn.Conv2d(*args, **kwargs)
    from mmcv.cnn import build_conv_layer

    return build_conv_layer(cfg, *args, **kwargs)


def build_norm(cfg: dict[str, Any], channels: int, postfix: int | str = '') -> tuple[str, nn.Module]:
    """Build the norm of ``norm_cfg``, and its name in a block: bn1, gn1, ..."""
    if cfg.get('type') not in ('BN', 'BN2d'):
        from mmcv.cnn import build_norm_layer

        return build_norm_layer(cfg, channels, postfix)
    options = {key: value for key, value in cfg.items() if key not in ('type', 'requires_grad')}
    norm = nn.BatchNorm2d(channels, **options).requires_grad_(cfg.get('requires_grad', True))
    return f'bn{postfix}', norm


class ConvNorm(nn.Sequential):
    """Convolution, norm and ReLU by mmcv's names: ``conv``, ``bn`` and ``activate``."""

    def __init__(self, conv: nn.Module, norm: tuple[str, nn.Module]) -> None:
        super().__init__()
        self.add_module('conv', conv)
        self.add_module(*norm)
        self.add_module('activate', nn.ReLU(inplace=True))


class DropPath(nn.Module):
    """Stochastic depth: in training, drop a branch for each image with a probability, and scale it up otherwise.

    It draws the numbers that mmcv's DropPath draws.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.drop_prob = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = 1 - self.drop_prob
        draws = keep + torch.rand((x.shape[0], *[1] * (x.ndim - 1)), dtype=x.dtype, device=x.device)
        return x.div(keep) * draws.floor()


def build_attention(cfg: dict[str, Any], in_channels: int) -> tuple[str, nn.Module]:
    """Build the layer of an attention slot, and its name in the block, as mmcv builds plugins.

    The name is the class's ``_abbr_``, or the name of the class in snake case.

    Raises:
        UserError: If ``cfg`` is not a config, or no layer of its type is registered; the sentence has the nearest name.
    """
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise UserError(f"attention must be a config such as dict(type='ECALayer'), got {cfg!r}")
    options = dict(cfg)
    kind, postfix = _find_layer(options.pop('type')), options.pop('postfix', '')
    words = re.sub(r'([a-z\d])([A-Z])', r'\1_\2', re.sub(r'([A-Z]+)([A-Z][a-z])', r'\1_\2', kind.__name__))
    return f'{getattr(kind, "_abbr_", words.lower())}{postfix}', kind(in_channels=in_channels, **options)


def _find_layer(name: Any) -> Any:
    """Find the class of a layer: itself, or by its name in the registry in use."""
    if inspect.isclass(name):
        return name
    scope, dot, bare = name.rpartition('.') if isinstance(name, str) else ('', '', '')
    with MODELS.switch_scope_and_registry(None) as registry:
        found, ours = registry.get(name) if bare else None, MODELS.module_dict.get(bare)
        if found is None and bare and importlib.util.find_spec('mmcv'):
            importlib.import_module('mmcv.cnn')  # registers its layers, such as ContextBlock
            found = registry.get(name)
        # mmengine looks for what a library lacks among all names without a scope, and ours are among these.
        foreign = scope not in ('', 'eca_mm') and getattr(ours, '__module__', '').startswith('eca_mm.')
        if foreign and found in (None, ours):
            raise UserError(f'attention: {scope} has no layer {bare!r}; this package has eca_mm.{bare}')
        if found is None:
            near = difflib.get_close_matches(bare, {*registry.module_dict, *MODELS.module_dict}, n=1)
            hint = f'did you mean {scope + dot + near[0]!r}?' if near else 'is the module that registers it imported?'
            raise UserError(f'attention: no layer {name!r} is registered; {hint}')
    return found
