"""What became of every key of a checkpoint: silent partial loading, the field's classic trap, has no place to hide."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Conversion:
    """A state dict under way from one naming to another.

    Attributes:
        tensors: New key -> tensor.
        matched: Keys that kept their name.
        renamed: Old key -> new key.
        dropped: Old key -> why it is not needed.
        errors: A sentence for each key that has no place, is missing, or has the wrong shape (both shapes stated).
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    matched: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def place(self, old: str, new: str, tensor: Tensor) -> None:
        """Takes a tensor over under its new key.

        Raises:
            ValueError: If the new key is taken: two old keys cannot become one.
        """
        if new in self.tensors:
            raise ValueError(f'{old} and another key both become {new}: these are keys of two networks')
        self.tensors[new] = tensor
        if old == new:
            self.matched.append(old)
        else:
            self.renamed[old] = new

    def drop(self, old: str, why: str) -> None:
        self.dropped[old] = why
