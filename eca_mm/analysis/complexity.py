"""Parameters and operations of a network: by the two counts behind the paper's tables, and by one of all operators.

A count is a table of rules, module -> operations, as in fvcore. Only shapes matter: models and inputs may be on the meta
device.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from eca_mm.errors import UserError
from eca_mm.models.attention import CBAMLayer, ChannelAttention

Rule = Callable[[Any, Tensor, Tensor], int]  # module, its first input, its output -> operations


def _conv(module: Any, x: Tensor, y: Tensor) -> int:
    """Multiply-adds; of a transposed convolution those of a convolution with the same output."""
    return y.numel() * prod(module.kernel_size) * module.in_channels // module.groups


def _conv_bias(module: Any, x: Tensor, y: Tensor) -> int:
    return _conv(module, x, y) + (0 if module.bias is None else y.numel())


def _per_input(cost: int) -> Rule:
    """A cost for each number of the input."""
    return lambda module, x, y: cost * x.numel()


class Convention(NamedTuple):
    """A way to count operations."""

    rules: Mapping[type[nn.Module], Rule]  # what a call of a module costs, by its class or the nearest base class
    shared: str  # which calls of one module object count: 'every', or the 'last'; ResNet's blocks share one ReLU


# Attention's own is its global average pooling, a function; the modules in it count by themselves.
_BOTH: dict[type[nn.Module], Rule] = {
    nn.ReLU: _per_input(1),
    nn.Identity: _per_input(0),
    ChannelAttention: _per_input(1),
}
# Tables 2 and 3: thop as of 2019, in training mode. The paper prints multiples of 2^30 (G), of 2^20 (M).
THOP = Convention(
    {
        **_BOTH,
        nn.Conv1d: _conv,
        nn.Conv2d: _conv,
        nn.BatchNorm2d: _per_input(4),
        nn.ReLU6: _per_input(1),
        nn.Linear: lambda module, x, y: y.numel() * (2 * module.in_features - 1),  # multiplications and additions
        nn.AdaptiveAvgPool2d: _per_input(1),
        nn.MaxPool2d: _per_input(0),
        CBAMLayer: _per_input(1),  # its global average pooling, as in other channel attention
    },
    'last',
)
# Multiply-adds of the layers with weights, and of nothing else: no products of queries, keys and values.
WEIGHTED = Convention(
    {
        **dict.fromkeys((nn.Conv1d, nn.Conv2d), _conv),
        nn.Linear: lambda module, x, y: y.numel() * module.in_features,
    },
    'every',
)
# The official MobileNetV2 pools before its classifier with a function, which thop did not see.
THOP_MOBILENET = Convention({**THOP.rules, nn.AdaptiveAvgPool2d: _per_input(0)}, THOP.shared)
# Table 4: mmcv 1.x. The paper prints multiples of 10^9.
MMCV = Convention(
    {
        **_BOTH,
        **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d), _conv_bias),
        nn.BatchNorm2d: _per_input(2),
        nn.Linear: lambda module, x, y: y.numel() * module.in_features,
        nn.MaxPool2d: _per_input(1),
    },
    'every',
)


def parameters(model: nn.Module, trainable: bool = False) -> int:
    """Number of a model's parameters, or of those that are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def count_modules(model: nn.Module, forward: Callable[[], object], convention: Convention) -> int:
    """Operations of ``forward()``, which runs ``model`` once, by a table of rules at the calls of the model's modules.

    Modules without a rule cost nothing.
    """
    calls: dict[nn.Module, int] = {}

    def observe(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        rule = next((convention.rules[t] for t in type(module).__mro__ if t in convention.rules), None)
        if rule is not None:
            before = 0 if convention.shared == 'last' else calls.get(module, 0)
            calls[module] = before + rule(module, inputs[0], output)

    with ExitStack() as hooks:
        for module in model.modules():
            hooks.enter_context(module.register_forward_hook(observe))
        forward()
    return sum(calls.values())


def count_operators(forward: Callable[[], object]) -> int:
    """Multiply-adds of ``forward()``: of every convolution and matrix product that torch executes, by PyTorch's formulas.

    Nothing else is counted.

    Raises:
        UserError: On torch 2.0, which has no formulas.
    """
    if find_spec('torch.utils.flop_counter') is None:
        raise UserError(
            f'multiply-adds of operators are counted by torch 2.1 or newer: here is torch {torch.__version__}'
        )
    with _MultiplyAdds() as counter:
        forward()
    return counter.total


class _MultiplyAdds(TorchDispatchMode):
    """torch's FlopCounterMode without its hooks on modules, which take most of its time."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from torch.utils.flop_counter import flop_registry

        out = func(*args, **(kwargs or {}))
        if rule := flop_registry.get(func.overloadpacket):  # two FLOPs are one multiply-add
            self.total += rule(*args, **(kwargs or {}), out_val=out) // 2
        return out
