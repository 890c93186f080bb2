"""Faults by kind: how many, and the first few."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        text: What it is, in the plural.
        follows: What training does with it.
        fails: Whether training or evaluation stops, or learns or counts something wrong; else what is faulty is passed over.
    """

    text: str
    follows: str
    fails: bool = True


@dataclass
class Findings:
    """Faults of one dataset.

    Attributes:
        counts: Faults by kind, in the order in which the kinds were found.
        examples: The first ``most`` of each kind.
        most: How many examples are kept.
    """

    most: int = 5
    counts: dict[Kind, int] = field(default_factory=dict)
    examples: dict[Kind, list[str]] = field(default_factory=dict)

    def add(self, kind: Kind, where: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < self.most:
            examples.append(where)

    def failures(self) -> list[Kind]:
        return [kind for kind in self.counts if kind.fails]

    def describe(self, kind: Kind) -> str:
        """The kind, how often it was found, and its examples, in one line."""
        count, examples = self.counts[kind], self.examples[kind]
        return f'{kind.text}: {count} ({"; ".join(examples)}{"; ..." * (count > len(examples))})'

    def __str__(self) -> str:
        lines = []
        for kind in sorted(self.counts, key=lambda kind: not kind.fails):
            lines += [f'  {"FAIL" if kind.fails else "warn"}  {self.describe(kind)}', f'        -> {kind.follows}']
        return '\n'.join(lines)
