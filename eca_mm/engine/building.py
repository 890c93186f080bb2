"""Which errors in building from a config are the user's, and the sentence that they become."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mmengine.registry
from mmengine.registry import Registry

from eca_mm.errors import UserError

# KeyErrors that mean a value of the config: mmengine's registries raise the first two, mmdet's and mmpretrain's ResNets the last.
_REFUSED_VALUE = re.compile(r'is not in the .*registry|must contain the key "type"|invalid depth', re.DOTALL)
_REFUSED_TYPE = re.compile(r'(should|must) be .*but got', re.DOTALL)
_UNKNOWN_ARGUMENT = re.compile(r"(?:unexpected keyword|multiple values for(?: keyword)?) argument '(\w+)'")
_MISSING_ARGUMENT = re.compile(r'(\w+)(?:\.__init__)?\(\) missing \d+ required')


class ConfigError(UserError):
    """A config that does not build."""


@contextmanager
def building(what: str, config: Any) -> Iterator[None]:
    """Turns an error into a sentence if the config, and not a constructor, is what is wrong.

    Args:
        what: Names what is built.
        config: What it is built from: any nesting of dictionaries and lists.

    Raises:
        ConfigError: For what registries, constructors that check their arguments, and missing files raise. Any other
            exception, such as a KeyError or an AttributeError in a layer under development, passes as it is.
    """
    try:
        yield
    except ConfigError:  # of a part of it
        raise
    except Exception as error:
        if not _is_of_config(error, config):
            raise
        text = error.args[0] if isinstance(error, KeyError) else error  # str(KeyError) is its argument in quotes
        kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
        raise ConfigError(f'the config does not build {what}: {kind}{text}') from error


def _is_of_config(error: Exception, config: Any) -> bool:
    if isinstance(error, KeyError):
        return bool(_REFUSED_VALUE.search(str(error)))
    if isinstance(error, TypeError):
        if unknown := _UNKNOWN_ARGUMENT.search(str(error)):
            return any(unknown[1] in part for part in _dictionaries(config))
        if missing := _MISSING_ARGUMENT.search(str(error)):
            return missing[1] in _callables(config)
        return bool(_REFUSED_TYPE.search(str(error)))
    return isinstance(error, (ValueError, AssertionError, ImportError, OSError))


def _dictionaries(config: Any) -> Iterator[dict[str, Any]]:
    """All dictionaries in a config, itself included."""
    if isinstance(config, dict):
        yield config
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for part in config:
            yield from _dictionaries(part)


def _callables(config: Any) -> set[str]:
    """Names of the classes, their bases, and the functions that the config's types are."""
    types = [part['type'] for part in _dictionaries(config) if 'type' in part]
    roots = [value for value in vars(mmengine.registry).values() if isinstance(value, Registry)]
    found = [
        registry.module_dict.get(kind.split('.')[-1]) if isinstance(kind, str) else kind
        for kind in types
        for root in roots
        for registry in (root, *root.children.values())
    ]
    return {base.__name__ for item in found if item for base in getattr(item, '__mro__', [item])}
