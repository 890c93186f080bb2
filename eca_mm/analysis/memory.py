"""The memory that a step takes on a CPU, and what a forward pass keeps for its backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch._C._profiler import _ExperimentalConfig
from torch.autograd import ProfilerConfig, ProfilerState


def peak_of_cpu(step: Callable[[], object]) -> int:
    """The most bytes that ``step()`` has in torch's tensors at once, besides those that are there before."""
    config = ProfilerConfig(ProfilerState.CPU, False, True, False, False, False, _ExperimentalConfig())
    torch.autograd._enable_profiler_legacy(config)  # with every allocation in turn, unlike torch.profiler
    try:
        step()
    finally:
        events = torch.autograd._disable_profiler_legacy()
    now = peak = 0
    for event in (event for thread in events for event in thread if event.kind() == 'memory_alloc'):
        now += event.cpu_memory_usage()
        peak = max(peak, now)
    return peak


def saved_for_backward(model: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass keeps for its backward pass, each storage once.

    The model's own tensors are not counted; copies of them in another type (AMP) or layout (compiled on a CPU) are.
    """
    storages = {}  # keeps them alive, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor.detach()  # an operator that saves its output, with its graph, would keep itself for ever

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss()
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    return sum(storage.nbytes() for address, storage in storages.items() if address not in own)
