"""What became of every key of a checkpoint: silent partial loading, the field's classic trap, has no place to hide."""

import re
from collections import Counter
from dataclasses import dataclass, field

from torch import Tensor

from eca_mm.errors import UserError


@dataclass
class Conversion:
    """A state dict under way from one naming to another.

    Attributes:
        tensors: New key -> tensor.
        matched: Keys that kept their name.
        renamed: Old key -> new key.
        dropped: Old key -> why it is not needed.
        changes: Old key -> what became of its rows, where they are not the same.
        errors: A sentence for each key that has no place, is missing, or has the wrong shape (both shapes stated).
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    matched: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    changes: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def place(self, old: str, new: str, tensor: Tensor) -> None:
        """Takes a tensor over under its new key.

        Raises:
            ValueError: If the new key is taken: two old keys cannot become one.
        """
        if new in self.tensors:
            raise UserError(f'{old} and another key both become {new}: these are keys of two networks')
        self.tensors[new] = tensor
        if old == new:
            self.matched.append(old)
        else:
            self.renamed[old] = new

    def drop(self, old: str, why: str) -> None:
        self.dropped[old] = why

    @property
    def names(self) -> dict[str, str]:
        """Old key -> new key, of all that were taken over."""
        return {key: key for key in self.matched} | self.renamed

    def then(self, second: 'Conversion') -> 'Conversion':
        """This conversion and then a second one of its tensors, as one.

        Raises:
            ValueError: As :meth:`place`.
        """
        result, names = Conversion(dropped=dict(self.dropped), errors=self.errors + second.errors), second.names
        result.changes.update(self.changes)
        for old, between in self.names.items():
            if between in names:
                result.place(old, names[between], second.tensors[names[between]])
            else:
                result.drop(old, second.dropped[between])
        return result

    def __str__(self) -> str:
        """The report: how many keys, and which; those that differ in their numbers and last parts are one line."""
        lines = [f'{len(self.matched)} matched, {len(self.renamed)} renamed, {len(self.dropped)} dropped']
        lines += _folded(
            'renamed', ' -> ', [(_fold(old), _fold(new) + self._change(old)) for old, new in self.renamed.items()]
        )
        lines += _folded('dropped', ': ', [(_fold(old), why) for old, why in self.dropped.items()])
        return '\n'.join(lines)

    def _change(self, old: str) -> str:
        return f'  ({self.changes[old]})' if old in self.changes else ''


def _folded(title: str, between: str, pairs: list[tuple[str, str]]) -> list[str]:
    return [f'  {title} {count:>4}  {old}{between}{new}' for (old, new), count in Counter(pairs).items()]


def _fold(key: str) -> str:
    """
    >>> _fold('layer1.0.bn1.running_mean')
    'layerN.N.bnN.*'
    """
    return re.sub(r'\.[^.\d]+$', '.*', re.sub(r'\d+', 'N', key)) if '.' in key else key
