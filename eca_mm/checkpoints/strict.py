"""Whether weights and a model fit, all of them."""

from collections.abc import Mapping

from torch import Tensor


def check_fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], what: str) -> None:
    """Compares the names and shapes of a model's state with those of a file.

    Args:
        own: The model's ``state_dict()``.
        weights: The file's.
        what: Names both in the message, e.g. ``'resnet50.pth does not fit ECAResNet'``.

    Raises:
        ValueError: If a weight is missing, has another shape, or has no place. BN's count of batches may be missing, as
            files older than PyTorch 0.4.1 lack it; nothing depends on it with BN's default momentum.
    """
    missing = [key for key in own if key not in weights and not key.endswith('.num_batches_tracked')]
    shapes = [
        f'{key} is {tuple(weights[key].shape)} in the file and {tuple(own[key].shape)} here'
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    unexpected = [key for key in weights if key not in own]
    problems = [
        f'{len(keys)} {kind}: {", ".join(keys[:4])}{", ..." if len(keys) > 4 else ""}'
        for kind, keys in (('missing', missing), ('of another shape', shapes), ('without a place', unexpected))
        if keys
    ]
    if problems:
        raise ValueError(f'{what}: {"; ".join(problems)}')
