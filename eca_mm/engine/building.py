"""Which errors in building from a config are the user's, and the sentence that they become."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eca_mm.datasets.guarded import AnnotationError
from eca_mm.errors import UserError
from eca_mm.output import FULL

# KeyErrors that mean a value of the config: registries raise the first three, mmdet's and mmpretrain's classes the others.
_REFUSED_VALUE = re.compile(
    r'is not in the .*registry|Cannot find .* in registry|must contain the key "type"|invalid depth|should be one of .*but got',
    re.DOTALL,
)
# The last is what torch.optim's name gives in mmengine's registry of optimisers where there is no such name.
_REFUSED_TYPE = re.compile(r'(should|must) be .*but got|None is not a callable object', re.DOTALL)
_UNKNOWN_ARGUMENT = re.compile(r"(?:unexpected keyword|multiple values for(?: keyword)?) argument '(\w+)'")
# MultiStepLR and its like have the constructor of MultiStepParamScheduler.
_MISSING_ARGUMENT = re.compile(r'(\w+?)(?:ParamScheduler)?(?:\.__init__)?\(\) missing \d+ required')


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
    except (ConfigError, AnnotationError):  # of a part of it, a sentence already
        raise
    except Exception as error:
        if not _is_of_config(error, repr(config)):
            raise
        text = error.args[0] if isinstance(error, KeyError) else error  # str(KeyError) is its argument in quotes
        kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
        raise ConfigError(f'the config does not build {what}: {kind}{text}') from error


def _is_of_config(error: Exception, config: str) -> bool:
    if isinstance(error, KeyError):
        return bool(_REFUSED_VALUE.search(str(error)))
    if isinstance(error, RuntimeError):
        return str(error).startswith('Found 0 files')  # mmpretrain's, of folders without an image
    if isinstance(error, OSError) and error.errno in FULL:
        return False
    if not isinstance(error, TypeError):
        return isinstance(error, (ValueError, AssertionError, ImportError, OSError))
    if unknown := _UNKNOWN_ARGUMENT.search(str(error)):
        return f"'{unknown[1]}': " in config
    if missing := _MISSING_ARGUMENT.search(str(error)):
        return bool(re.search(f"'type': [^,}}]*{missing[1]}", config))
    return bool(_REFUSED_TYPE.search(str(error)))
