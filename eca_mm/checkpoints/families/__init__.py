"""The families of networks: each module here defines some, and lists them in its ``FAMILIES``."""

import importlib
import pkgutil

from eca_mm.checkpoints.family import Family, Tensors
from eca_mm.errors import UserError

__all__ = ['FAMILIES', 'family_of', 'find_family']


def _find_families() -> tuple[Family, ...]:
    modules = [importlib.import_module(f'{__name__}.{module.name}') for module in pkgutil.iter_modules(__path__)]
    return tuple(family for module in modules for family in module.FAMILIES)


FAMILIES = _find_families()


def find_family(weights: Tensors) -> Family:
    """Find the family of weights by our classifiers' names; UserError if there is none."""
    for family in reversed(FAMILIES):  # a relative, which has the keys of a ResNet, is listed after it
        if family.recognises(weights):
            return family
    raise UserError(f'the backbone is no {", ".join(family.name for family in FAMILIES)}')


def family_of(name: str) -> Family:
    """Return the family of this name."""
    return next(family for family in FAMILIES if family.name == name)
