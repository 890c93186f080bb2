"""The names of a network's weights in another library: how to read them, and how to write them."""

from typing import NamedTuple

# (theirs, ours): prefixes of two keys or, where the first begins with a dot, parts of them. The first pair that matches a key
# applies; to write another library's keys, the pairs are reversed. Ours are the names in our backbones.
Pairs = tuple[tuple[str, str], ...]


class Layout(NamedTuple):
    """One way in which a library names all the weights of a network.

    Attributes:
        source: The library.
        signs: Patterns; each must match a key. ``<ours>`` stands for the patterns of all families.
        backbone, classifier, dropped: Prefixes of the keys of these parts.
        recognised: Whether the keys suffice. If not, as they are another library's too, the user must name the source.
    """

    source: str
    signs: tuple[str, ...]
    backbone: str = ''
    classifier: str = ''
    dropped: tuple[str, ...] = ()
    recognised: bool = True


class Target(NamedTuple):
    """The names that a library gives to the weights of a network of ours.

    Attributes:
        code: The line that builds the network there.
        classifier: Prefix of the classifier's keys, ``head.fc.`` here; None to leave the classifier out.
        backbone: Prefix of the backbone's keys.
        pairs: Other differences between the keys.
        convolutions: Part of the keys of 1x1 convolutions that are linear layers here; '' for none.
    """

    code: str
    classifier: str | None
    backbone: str = ''
    pairs: Pairs = ()
    convolutions: str = ''


def rename(name: str, pairs: Pairs) -> str:
    """Apply the first pair that matches the name.

    >>> rename('layer1.0.se.conv.weight', (('.se.conv.', '.eca.conv.'),))
    'layer1.0.eca.conv.weight'
    """
    for old, new in pairs:
        if name.startswith(old) or (old.startswith('.') and old in name):
            return name.replace(old, new, 1)
    return name
