"""Dataset wrapper that refuses annotations that would break a run, and names images that cannot be read."""

import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from eca_mm.checks import Findings, UnreadableImage, check_coco, unreadable_image
from eca_mm.checks.coco import NO_OBJECT, UNUSED
from eca_mm.errors import UserError

USUAL = (NO_OBJECT, UNUSED)  # kinds that are not logged at each start


class AnnotationError(UserError):
    """Annotations that would break a run."""


@DATASETS.register_module()
class GuardedDataset:
    """Check a dataset's COCO annotations as they are read, and name or pass over images that cannot be.

    It may stand wherever its dataset does, inside other wrappers too: it has the dataset's attributes.

    Args:
        dataset: Config of a dataset, or the dataset.
        masks: Whether masks are evaluated; whether they are trained on, the dataset's pipeline says.
        lazy_init: Whether the annotations are read later, by :meth:`full_init`.

    Attributes:
        unreadable: Which images were passed over, a bool each, in memory that data workers share.
        all_unreadable: The same of all datasets that have a limit together.
        limit: How many of ``all_unreadable`` may be.

    Raises:
        AnnotationError: With the file, the first kind of fault and its first few places.
    """

    def __init__(self, dataset: Any, masks: bool = False, lazy_init: bool = False) -> None:
        self.masks, self.limit = masks, 0
        if isinstance(dataset, dict):  # built without its annotations, which are checked as they are read
            dataset = DATASETS.build({**dataset, 'lazy_init': True})
        self.dataset = dataset
        self.unreadable = self.all_unreadable = torch.zeros(0, dtype=torch.bool)
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Read the annotations."""
        dataset = self.dataset
        if not getattr(dataset, '_fully_initialized', False):
            if has_coco_format(dataset):
                dataset.COCOAPI = _checking(dataset, reads_masks(dataset) or (self.masks and dataset.test_mode))
            try:
                dataset.full_init()
            finally:
                vars(dataset).pop('COCOAPI', None)  # the class's own again: data workers pickle the dataset
        if not len(self.unreadable):
            allow_unreadable([self], 0)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or 'dataset' not in vars(self):  # while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    @property
    def pipeline(self) -> Any:
        """The dataset's; mmdet's and mmpretrain's hooks replace it."""
        return self.dataset.pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        self.dataset.pipeline = pipeline

    def get_subset(self, indices: Any) -> 'GuardedDataset':
        """A part of the dataset, as guarded as this one."""
        return GuardedDataset(self.dataset.get_subset(indices), self.masks)

    def __getitem__(self, index: int) -> Any:
        if type(self.dataset).__getitem__ is not BaseDataset.__getitem__:
            return self._read(index, self.dataset.__getitem__)
        for _ in range(1 if self.dataset.test_mode else self.dataset.max_refetch + 1):  # as BaseDataset does
            data = self._read(index, self.dataset.prepare_data)
            if data is not None:
                return data
            index = self.dataset._rand_another()
        raise RuntimeError(
            f'the pipeline of {self.dataset.ann_file or self.dataset.data_root} gives None for every image'
        )

    def _read(self, index: int, read: Callable[[int], Any]) -> Any:
        try:
            data = read(index)
            if error := self._wrong_size(index, data):
                raise error
        except Exception as error:
            named = error if isinstance(error, UnreadableImage) else self._unreadable(index, error)
            if named is None:
                raise
            self.unreadable[index] = True
            if int(self.all_unreadable.sum()) <= self.limit:
                return None
            also = f', after {self.limit} that --skip-unreadable allowed' if self.limit else ''
            raise UnreadableImage(
                f'{named}{also}; tools/doctor.py CONFIG finds all such images, and --skip-unreadable N goes on past at most N '
                'in training'
            ) from None
        return data

    def _unreadable(self, index: int, error: Exception) -> UnreadableImage | None:
        info = self.dataset.get_data_info(index)
        return unreadable_image(info.get('img_path'), error, _annotated_size(info))

    def _wrong_size(self, index: int, data: Any) -> UnreadableImage | None:
        """Boxes and masks of an image of another size are in the wrong place; turned by its EXIF, for instance."""
        sample: Any = data.get('data_samples', data) if isinstance(data, dict) else {}
        shape = sample.get('ori_shape') if hasattr(sample, 'get') else None
        if not shape:
            return None
        info = self.dataset.get_data_info(index)
        annotated = _annotated_size(info)
        if annotated is None or tuple(shape[:2]) == annotated[::-1]:
            return None
        sizes = f'it is {shape[1]} x {shape[0]}, annotated {annotated[0]} x {annotated[1]}'
        return UnreadableImage(f'image {info.get("img_path")} cannot be used: {sizes}')


def unwrapped(dataset: Any) -> list[Any]:
    """The datasets that ConcatDataset, RepeatDataset and other wrappers hold, in their order; a GuardedDataset counts as one."""
    inner = [*getattr(dataset, 'datasets', []), getattr(dataset, 'dataset', None)]
    inner = [part for part in inner if part is not None]
    if isinstance(dataset, GuardedDataset) or not inner:
        return [dataset]
    return [found for part in inner for found in unwrapped(part)]


def guarded(dataset: Any) -> list[GuardedDataset]:
    """The guarded ones of :func:`unwrapped`."""
    return [part for part in unwrapped(dataset) if isinstance(part, GuardedDataset)]


def allow_unreadable(datasets: list[GuardedDataset], limit: int) -> None:
    """Let datasets pass over unreadable images, ``limit`` of them together; random other ones take their places."""
    together = torch.zeros(sum(map(len, datasets)), dtype=torch.bool).share_memory_()
    for dataset, own in zip(datasets, together.split([len(d) for d in datasets]), strict=True):
        dataset.unreadable, dataset.all_unreadable, dataset.limit = own, together, limit


def unreadable_images(dataset: Any) -> list[str]:
    """The paths of the images that were passed over."""
    return [part.get_data_info(int(i))['img_path'] for part in guarded(dataset) for i in part.unreadable.nonzero()]


def takes_lazy_init(kind: Any) -> bool:
    """Whether a dataset's class can be built without reading its annotations."""
    parameters = inspect.signature(kind).parameters.values()
    return any(p.name == 'lazy_init' or p.kind is p.VAR_KEYWORD for p in parameters)


def has_coco_format(dataset: Any) -> bool:
    """Whether a dataset reads COCO's keys; LVIS and others have their own."""
    return getattr(getattr(dataset, 'COCOAPI', None), '__name__', '') == 'COCO'


def reads_masks(dataset: Any) -> bool:
    """Whether a dataset's pipeline loads masks."""
    return any(getattr(transform, 'with_mask', False) for transform in dataset.pipeline.transforms)


def _annotated_size(info: dict[str, Any]) -> tuple[Any, Any] | None:
    size = info.get('width'), info.get('height')
    return size if all(size) else None


def _checking(dataset: Any, masks: bool) -> Any:
    """mmdet's COCO, which checks what it has parsed: rubbish must not reach pycocotools."""

    class Checked(dataset.COCOAPI):
        def createIndex(self) -> None:  # noqa: N802
            classes = dataset.metainfo.get('classes')
            _report(check_coco(self.dataset, classes, masks=masks, evaluated=dataset.test_mode), dataset.ann_file)
            super().createIndex()

    return Checked


def _report(findings: Findings, file: str) -> None:
    if kinds := findings.failures():
        others = f', and {len(kinds) - 1} more kind{"s" * (len(kinds) > 2)} of fault' if kinds[1:] else ''
        raise AnnotationError(
            f'{file}: {findings.describe(kinds[0])}, where {kinds[0].follows}{others}; tools/doctor.py CONFIG lists all'
        )
    passed = [f'{k.text}: {len(where)}, {k.follows}' for k, where in findings.places.items() if k not in USUAL]
    if passed:
        message = f'{file}: {"; ".join(passed)}; tools/doctor.py CONFIG lists all'
        print_log(message, 'current', logging.WARNING)
