"""What became of every key of a checkpoint, so that no weight is lost without a word."""

import re
from collections import Counter
from dataclasses import dataclass, field

from torch import Tensor

from eca_mm.checkpoints.weights import shown
from eca_mm.errors import UserError


@dataclass
class Renaming:
    """A state dict on its way from one naming to another."""

    tensors: dict[str, Tensor] = field(default_factory=dict)  # by their new keys
    names: dict[str, str] = field(default_factory=dict)  # old key -> new key, of all that were taken over
    dropped: dict[str, str] = field(default_factory=dict)  # old key -> why it is not needed
    changes: dict[str, str] = field(default_factory=dict)  # old key -> what became of its rows, if anything

    def place(self, old: str, new: str, tensor: Tensor) -> None:
        """Takes a tensor over under its new key; UserError if that is taken: two old keys cannot become one."""
        if new in self.tensors:
            raise UserError(f'{shown(old)} and another key both become {shown(new)}: these are keys of two networks')
        self.tensors[new] = tensor
        self.names[old] = new

    def then(self, second: 'Renaming') -> 'Renaming':
        """This renaming and then a second one of its tensors, as one."""
        dropped = {old: second.dropped[new] for old, new in self.names.items() if new in second.dropped}
        names = {old: second.names[new] for old, new in self.names.items() if new in second.names}
        return Renaming(second.tensors, names, self.dropped | dropped, self.changes)

    def __str__(self) -> str:
        """The report: how many keys, and which; those that differ in their numbers and last parts are one line."""
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
    return shown(re.sub(r'\.[^.\d]+$', '.*', re.sub(r'\d+', 'N', key)) if '.' in key else key)
