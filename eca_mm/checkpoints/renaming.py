"""A state dict's renaming, with a report on each key."""

import re
from collections import Counter
from dataclasses import dataclass, field

from torch import Tensor

from eca_mm.checkpoints.weights import shorten
from eca_mm.errors import UserError


@dataclass
class Renaming:
    """The tensors of a state dict by new keys, and what happened to each old key."""

    tensors: dict[str, Tensor] = field(default_factory=dict)  # by their new keys
    names: dict[str, str] = field(default_factory=dict)  # old key -> new key, of all tensors
    dropped: dict[str, str] = field(default_factory=dict)  # old key -> the reason
    changes: dict[str, str] = field(default_factory=dict)  # old key -> how its rows changed, if they did

    def add(self, old: str, new: str, tensor: Tensor) -> None:
        """Add a tensor by its new key; UserError if another old key has become the same."""
        if new in self.tensors:
            raise UserError(
                f'{shorten(old)} and another key both become {shorten(new)}: these are keys of two networks'
            )
        self.tensors[new] = tensor
        self.names[old] = new

    def then(self, second: 'Renaming') -> 'Renaming':
        """Combine this renaming with a second one of its tensors."""
        dropped = {old: second.dropped[new] for old, new in self.names.items() if new in second.dropped}
        names = {old: second.names[new] for old, new in self.names.items() if new in second.names}
        return Renaming(second.tensors, names, self.dropped | dropped, self.changes)

    def __str__(self) -> str:
        """Report the numbers of keys; keys that differ only in their numbers and last parts share a line."""
        renamed = [
            (_fold(old), _fold(new) + (f'  ({self.changes[old]})' if old in self.changes else ''))
            for old, new in self.names.items()
            if old != new
        ]
        dropped = [(_fold(old), reason) for old, reason in self.dropped.items()]
        lines = [f'{len(self.names) - len(renamed)} matched, {len(renamed)} renamed, {len(dropped)} dropped']
        lines += [f'  renamed {count:>4}  {old} -> {new}' for (old, new), count in Counter(renamed).items()]
        lines += [f'  dropped {count:>4}  {old}: {reason}' for (old, reason), count in Counter(dropped).items()]
        return '\n'.join(lines)


def _fold(key: str) -> str:
    """
    >>> _fold('layer1.0.bn1.running_mean')
    'layerN.N.bnN.*'
    """
    return shorten(re.sub(r'\.[^.\d]+$', '.*', re.sub(r'\d+', 'N', key)) if '.' in key else key)
