"""Checks of the integers that layers are built from."""

import operator
from collections.abc import Callable
from typing import Any

from eca_mm.errors import UserError


def positive_int(
    name: str, value: Any, kind: str = 'a positive integer', fits: Callable[[int], bool] = lambda n: True
) -> int:
    """``value`` as an int: any integer type, numpy's too, but no bool and no float, not even a whole one.

    Args:
        name: The argument's name, for the error.
        value: Its value.
        kind: What it must be, for the error.
        fits: A further condition on the positive integer.

    Raises:
        UserError: If ``value`` is not a positive integer, or does not fulfil the condition.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1 or not fits(number):
        raise UserError(f'{name} must be {kind}, got {value!r}')
    return number


def divisor(name: str, value: Any, channels: int) -> int:
    """``value`` as an int that divides ``channels``; raises UserError as :func:`positive_int`."""
    kind = f'a positive divisor of in_channels={channels}'
    return positive_int(name, value, kind, lambda n: channels % n == 0)
