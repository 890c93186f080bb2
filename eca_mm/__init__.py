"""ECA-Net (https://arxiv.org/abs/1910.03151) for MMDetection and MMPretrain.

Importing this package registers its layers and backbones in mmengine's root registries, where every OpenMMLab config finds
them by name; without mmengine it registers nothing. Layers, backbones and the functions of the Python API are attributes of
the package, ``eca_mm.ECAResNet(50)``, and are imported when they are asked for. docs/api.md lists them.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eca_mm.version import __version__ as __version__

if TYPE_CHECKING:
    from eca_mm.checkpoints import load_backbone as load_backbone
    from eca_mm.checkpoints import read_checkpoint as read_checkpoint
    from eca_mm.convert import convert_checkpoint as convert_checkpoint
    from eca_mm.engine import load_config as load_config
    from eca_mm.engine import load_model as load_model
    from eca_mm.engine.evaluate import evaluate as evaluate
    from eca_mm.engine.predict import predict as predict
    from eca_mm.engine.train import train as train
    from eca_mm.errors import UserError as UserError
    from eca_mm.export import export as export
    from eca_mm.models import *  # noqa: F403

# The package that has each name; all others are layers, backbones and what belongs to them, and in eca_mm.models.
_PACKAGES = {
    'UserError': 'errors',
    'convert_checkpoint': 'convert',
    'evaluate': 'engine',
    'export': 'export',
    'load_backbone': 'checkpoints',
    'load_config': 'engine',
    'load_model': 'engine',
    'predict': 'engine',
    'read_checkpoint': 'checkpoints',
    'train': 'engine',
}


def __getattr__(name: str) -> Any:
    if name == '__all__':
        return ['__version__', *_PACKAGES, *import_module('eca_mm.models').__all__]
    if name in _PACKAGES:
        return getattr(import_module(f'eca_mm.{_PACKAGES[name]}'), name)
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    if find_spec(f'eca_mm.{name}') is not None:
        return import_module(f'eca_mm.{name}')
    if name in (models := import_module('eca_mm.models')).__all__:
        return getattr(models, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__('__all__')})


def _register() -> None:
    """Register layers, backbones, the file backend ``eca_mm.atomic`` and the configs ``eca_mm::...``, as far as mmengine is here.

    mmengine offers no way for a package to make its configs known before it is imported.
    """
    if find_spec('mmengine') is None:
        return
    try:
        from mmengine.config.utils import MODULE2PACKAGE

        import_module('eca_mm.models')
        import_module('eca_mm.output')
    except (ImportError, AttributeError) as error:
        # mmengine passes over these two where a config names eca_mm, and then says only that it failed to get a class.
        raise RuntimeError(f'eca_mm cannot be imported: {type(error).__name__}: {error}') from error
    MODULE2PACKAGE.setdefault('eca_mm', 'eca_mm')


def _is_tool() -> bool:
    """Whether this process is a tool, which registers after it has read its arguments: ``--help`` does without torch."""
    script = Path(sys.argv[0] if sys.argv else '')
    return script.stem == 'eca-mm' or script.resolve().parent == Path(__file__).resolve().parents[1] / 'tools'


if not _is_tool():
    _register()
