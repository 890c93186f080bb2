"""Faults by kind, and where they are."""

from dataclasses import dataclass, field

SHOWN = 5  # places of a kind, where it is described


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
        places: Where each fault is, by kind, in the order in which the kinds were found.
    """

    places: dict[Kind, list[str]] = field(default_factory=dict)

    def add(self, kind: Kind, where: str) -> None:
        self.places.setdefault(kind, []).append(where)

    def failures(self) -> list[Kind]:
        return [kind for kind in self.places if kind.fails]

    def describe(self, kind: Kind) -> str:
        """The kind, how often it was found, and the first few places, in one line."""
        places = self.places[kind]
        return f'{kind.text}: {len(places)} ({"; ".join(places[:SHOWN])}{"; ..." * (len(places) > SHOWN)})'

    def __str__(self) -> str:
        lines = []
        for kind in sorted(self.places, key=lambda kind: not kind.fails):
            lines += [f'  {"FAIL" if kind.fails else "warn"}  {self.describe(kind)}', f'        -> {kind.follows}']
        return '\n'.join(lines)
