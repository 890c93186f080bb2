"""Values as Python, the way a config states them."""

from collections.abc import Mapping
from typing import Any


def source_code(value: Any) -> str:
    """The value as a config states it, with ``dict(...)``."""
    if isinstance(value, dict):
        return f'dict({arguments(value)})'
    return f'({", ".join(map(source_code, value))})' if isinstance(value, tuple) else repr(value)


def arguments(values: Mapping[str, Any]) -> str:
    """
    >>> arguments(dict(depth=18, attention=dict(type='SELayer')))
    "depth=18, attention=dict(type='SELayer')"
    """
    return ', '.join(f'{key}={source_code(value)}' for key, value in values.items())
