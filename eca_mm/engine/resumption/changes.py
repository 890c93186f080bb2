"""Compare a run with the one that its checkpoint was written by: settings, data, threads."""

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import HOOKS

from eca_mm.engine.config.options import KNOWN_KEYS
from eca_mm.engine.config.parts import class_of, type_name
from eca_mm.errors import UserError

REFUSED = 'makes another run'
ROUNDING = 'other rounding: equal, but not to the last bit'
KEPT = "the checkpoint's is kept"
TOLD = 'takes effect from here on'
HARMLESS = 'harmless'

# Settings that do not change what a step of the optimiser computes; others by the dataset that is built, or by the batch's split.
_HARMLESS = (
    'work_dir', 'launcher', 'model_wrapper_cfg', 'experiment_name', 'log_level', 'log_processor', 'visualizer', 'env_cfg',
    'default_scope', 'custom_imports', 'pictures', 'max_invalid_losses', 'backbone_weights', 'classes', 'images_per_step',
    'val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator', 'model.test_cfg',
    'default_hooks.timer', 'default_hooks.logger', 'default_hooks.checkpoint', 'default_hooks.visualization',
    'train_cfg.max_epochs', 'train_cfg.max_iters', 'train_cfg.val_interval', 'train_cfg.val_begin',
    'train_cfg.dynamic_intervals', 'train_dataloader.num_workers', 'train_dataloader.persistent_workers',
    'train_dataloader.prefetch_factor', 'train_dataloader.pin_memory', 'train_dataloader.timeout',
)  # fmt: skip
_OF_THE_DATA = ('data_root', 'ann_file', 'data_prefix', 'metainfo', 'split', 'indices', 'backend_args', 'with_label')
_OF_ROUNDING = ('compile', 'fused', 'with_cp', 'deterministic', 'activation_checkpointing', 'find_unused_parameters')
_HARMLESS_HOOKS = (
    'CheckpointHook', 'LoggerHook', 'IterTimerHook', 'EmptyCacheHook', 'MemoryProfilerHook', 'ProfilerHook',
    'CheckInvalidLossHook', 'VisualizationHook', 'DetVisualizationHook',
)  # fmt: skip
_LIBRARIES = ('mmengine', 'mmdet', 'mmpretrain', 'eca_mm')
_MISSING = '-'


@dataclass(frozen=True)
class Change:
    """A setting that differs from the checkpoint's.

    Attributes:
        key: Dotted, as for ``--cfg-options``.
        old, new: The checkpoint's value and this run's; '-' for none.
        effect: One of the constants above.
    """

    key: str
    old: Any
    new: Any
    effect: str


class RunRecord:
    """What decides the weights that a run ends with; each checkpoint has it in its ``meta['run']``.

    Args:
        cfg: The config before the batch is split.
        with_changes: Accept settings that make another run.
    """

    def __init__(self, cfg: Config, with_changes: bool = False) -> None:
        settings = {key: value for key, value in cfg.to_dict().items() if key in KNOWN_KEYS - {'resume', 'load_from'}}
        self.config = _plain(settings)
        self.with_changes = with_changes
        self._data: list[dict[str, Any]] | None = None

    def describe(self, dataset: Any) -> dict[str, Any]:
        """The record as plain Python, with the built training set."""
        if self._data is None:
            self._data = [_describe(part) for part in _parts(dataset)]
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'
        machine = dict(threads=torch.get_num_threads(), torch=str(torch.__version__), device=device)
        return dict(config=self.config, data=self._data, machine=machine)

    def compare(self, old: dict[str, Any], dataset: Any) -> list[Change]:
        """The differences from a checkpoint's record, those that make another run first."""
        new = self.describe(dataset)
        pairs = [
            *_differences(old.get('config') or {}, new['config'], ''),
            *_differences(old.get('data') or [], new['data'], 'data'),
            *_differences(old.get('machine') or {}, new['machine'], 'machine'),
        ]
        found = [Change(key, a, b, _effect(key, a, b, new['config'])) for key, a, b in pairs]
        return sorted(found, key=lambda change: change.effect != REFUSED)


def check_changes(changes: Sequence[Change], file: str, with_changes: bool) -> None:
    """Refuse changes that make another run, unless they are wanted.

    Raises:
        UserError: With a table of all changes.
    """
    if not with_changes and any(change.effect == REFUSED for change in changes):
        raise UserError(
            f'{file} was trained with other settings: set them back, take the new ones from here on by --resume-with-changes, or '
            f'start from its weights, --cfg-options load_from={file}\n{table(changes)}'
        )


def table(changes: Sequence[Change]) -> str:
    """The changes in aligned columns."""
    rows = [('setting', 'checkpoint', 'now', '')]
    rows += [(change.key, _short(change.old), _short(change.new), change.effect) for change in changes]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return '\n'.join(
        '  ' + '  '.join([*(f'{cell:<{w}}' for cell, w in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f'{text[:57]}...'


def _plain(value: Any, key: str = '') -> Any:
    """A config as dictionaries, lists, texts and numbers, in which a class and its name are equal."""
    if isinstance(value, dict):
        return {str(name): _plain(part, str(name)) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):  # also enumerations and numpy's numbers, which safe loading refuses
        return int(value) if isinstance(value, int) else float(value)
    name = str(value) if isinstance(value, str) else getattr(value, '__name__', None) or str(value)
    return name.split('.')[-1] if key == 'type' else name


def _differences(old: Any, new: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    if key == 'custom_hooks':
        old, new = (hooks if isinstance(hooks, list) else [] for hooks in (old, new))
        yield from _list_differences(old, new, key)
    elif isinstance(old, dict) and isinstance(new, dict) and old.get('type') == new.get('type'):
        for name in sorted({*old, *new}):
            yield from _differences(old.get(name, _MISSING), new.get(name, _MISSING), f'{key}.{name}'.lstrip('.'))
    elif isinstance(old, list) and isinstance(new, list) and any(isinstance(part, dict) for part in [*old, *new]):
        yield from _list_differences(old, new, key)
    elif old != new and not (old in (None, _MISSING) and new in (None, _MISSING)):
        yield key, old, new


def _list_differences(old: list[Any], new: list[Any], key: str) -> Iterator[tuple[str, Any, Any]]:
    if key == 'custom_hooks':  # whole hooks: one that has changed is another one
        old, new = [h for h in old if h not in new], [h for h in new if h not in old]
    names = [
        [str(part.get('type', '')) if isinstance(part, dict) else str(part) for part in parts] for parts in (old, new)
    ]
    for kind, a, b, c, d in SequenceMatcher(a=names[0], b=names[1], autojunk=False).get_opcodes():
        for i in range(max(b - a, d - c)):
            left = old[a + i] if a + i < b else _MISSING
            right = new[c + i] if c + i < d else _MISSING
            place = f'{key}.{c + i if right is not _MISSING else a + i}'
            if kind == 'equal' and key != 'custom_hooks':
                yield from _differences(left, right, place)
            else:
                yield place, left, right


def _effect(key: str, old: Any, new: Any, config: dict[str, Any]) -> str:
    parts = key.split('.')
    if parts[0] == 'machine' or parts[-1] in _OF_ROUNDING or parts[0] in _OF_ROUNDING:
        return ROUNDING
    if parts[0] == 'data':
        return HARMLESS if parts[-1] == 'file' else REFUSED  # its content has a digest
    if key == 'randomness.seed':
        return KEPT
    if parts[0] == 'custom_hooks':
        return _effect_of_hook(new if isinstance(new, dict) else old, config.get('default_scope') or 'mmengine')
    if any(key == known or key.startswith(f'{known}.') for known in _HARMLESS):
        return HARMLESS
    if {'init_cfg', 'pretrained', 'test_cfg'} & {*parts} or (
        key.startswith('train_dataloader.dataset.') and {*_OF_THE_DATA} & {*parts}
    ):
        return HARMLESS
    if config.get('images_per_step') and key.startswith(
        ('train_dataloader.batch_size', 'optim_wrapper.accumulative_counts')
    ):
        return HARMLESS
    return REFUSED


def _effect_of_hook(hook: Any, scope: str) -> str:
    """A hook of the libraries may change weights unless it is known not to; an own one does if it keeps a state."""
    if type_name(hook) in _HARMLESS_HOOKS:
        return HARMLESS
    kind = class_of(hook, HOOKS, scope)
    if not inspect.isclass(kind) or kind.__module__.split('.')[0] in _LIBRARIES:
        return REFUSED
    own = {method for base in kind.__mro__ if not base.__module__.startswith('mmengine.') for method in vars(base)}
    return REFUSED if own & {'before_save_checkpoint', 'after_load_checkpoint', 'state_dict'} else TOLD


def _parts(dataset: Any) -> list[Any]:
    """The datasets that a built dataset's wrappers hold."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if list(inner) == [None]:
        return [dataset]
    return [leaf for part in inner for leaf in _parts(part)]


def _describe(dataset: Any) -> dict[str, Any]:
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    file = getattr(dataset, 'ann_file', None)
    annotated = isinstance(file, str) and Path(file).is_file()
    return dict(
        file=Path(file).name if isinstance(file, str) and annotated else None,
        images=len(dataset),
        classes=list(map(str, classes)) if isinstance(classes, list | tuple) else None,
        annotations=_digest_of_file(str(file)) if annotated else _digest_of_images(dataset),
    )


def _digest_of_file(file: str) -> str:
    digest = hashlib.sha256()
    with open(file, 'rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _digest_of_images(dataset: Any) -> str | None:
    """Of the names and labels of the images, wherever their folder is."""
    if not hasattr(dataset, 'get_data_info'):
        return None
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = Path(str(info.get('img_path', '')))
        digest.update(f'{path.parent.name}/{path.name} {info.get("gt_label")}\n'.encode(errors='surrogateescape'))
    return digest.hexdigest()[:16]
