"""What a config reads, looked at: the annotations at the start of a run, everything by the doctor."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from eca_mm.checks import check_coco
from eca_mm.checks.coco import NO_OBJECT, UNUSED
from eca_mm.engine.building import ConfigError
from eca_mm.engine.config.parts import evaluates_masks

USUAL = (NO_OBJECT, UNUSED)  # and nothing to be told at each start


@contextmanager
def checked_annotations(cfg: Config, kind: str) -> Iterator[None]:
    """Has mmdet's CocoDataset, and what is derived from it, refuse annotations that would break a run.

    It is the file that the dataset has just parsed that is looked at, before anything is made of it: masks of rubbish must not
    reach pycocotools. What mmdet passes over is logged, a number for each kind.

    Args:
        cfg: The config.
        kind: 'train', 'val' or 'test'.

    Raises:
        ConfigError: With the file, the first kind of fault and its first few places.
    """
    if 'mmdet' not in f'{cfg.get("default_scope")} {cfg.get(f"{kind}_dataloader")}':
        yield  # a classifier needs no mmdet
        return
    from mmdet.datasets import CocoDataset

    original, segm = CocoDataset.load_data_list, evaluates_masks(cfg, kind)

    @wraps(original)
    def load_data_list(self: Any) -> Any:
        if self.COCOAPI is not CocoDataset.COCOAPI:  # LVIS and others have their own keys
            return original(self)
        self.COCOAPI = _checking(self, reads_masks(self) or (segm and self.test_mode))
        try:
            return original(self)
        finally:
            del self.COCOAPI

    CocoDataset.load_data_list = load_data_list
    try:
        yield
    finally:
        CocoDataset.load_data_list = original


def reads_masks(dataset: Any) -> bool:
    return any(getattr(transform, 'with_mask', False) for transform in dataset.pipeline.transforms)


def _checking(dataset: Any, masks: bool) -> Callable[[str], Any]:
    class Checked(dataset.COCOAPI):
        def createIndex(self) -> None:  # noqa: N802
            classes = dataset.metainfo.get('classes')
            findings = check_coco(self.dataset, classes, masks=masks, evaluated=dataset.test_mode)
            if kinds := findings.failures():
                others = f', and {len(kinds) - 1} more kind{"s" * (len(kinds) > 2)} of fault' if kinds[1:] else ''
                raise ConfigError(
                    f'{dataset.ann_file}: {findings.describe(kinds[0])}, where {kinds[0].follows}{others}; '
                    'tools/doctor.py CONFIG lists all'
                )
            if told := [
                f'{kind.text}: {len(places)}, {kind.follows}'
                for kind, places in findings.places.items()
                if kind not in USUAL
            ]:
                message = f'{dataset.ann_file}: {"; ".join(told)}; tools/doctor.py CONFIG lists all'
                print_log(message, 'current', logging.WARNING)
            super().createIndex()

    return Checked
