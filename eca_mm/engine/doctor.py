"""All that a config reads, read: every annotation and every image of its dataloaders."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from eca_mm.checks import Findings, Kind, check_coco, check_images
from eca_mm.checks.coco import NO_KEY, NO_LIST, NO_OBJECT, count_classes
from eca_mm.datasets.guarded import has_coco_format, reads_masks
from eca_mm.engine.building import building
from eca_mm.engine.config.parts import datasets, evaluates_masks, scope_of
from eca_mm.engine.files import check_data
from eca_mm.engine.model import build_model
from eca_mm.engine.preflight import check_classes, check_evaluated_file
from eca_mm.errors import UserError

QUICK = 200  # images of a dataset that are looked at, then

CLASSES = Kind('classes that differ', 'training or the first validation stops, or learns other names')
NOT_READ = Kind('annotations that cannot be read', 'training does not start')
NO_IMAGE = Kind('classes without an image', 'they are not learnt', fails=False)
NO_LABEL = Kind('labels that are the number of no class', 'training stops with an IndexError')
FILTERED = Kind('images that filter_cfg leaves out', 'they are not trained on', fails=False)
BACKGROUND = Kind(
    'images without a usable object', 'they are trained on as background: filter_cfg keeps them', fails=False
)
ELSEWHERE = Kind('images on a server', 'they are not looked at', fails=False)


@dataclass
class Inspection:
    """What was found in a dataset.

    Attributes:
        name: Which one: 'train', 'val' or 'test', and its file or folder.
        contents: How much of what it has.
        findings: What is wrong.
    """

    name: str
    contents: str
    findings: Findings


def inspect(
    cfg: Config, *, quick: bool = False, track: Callable[[Iterable[Any]], Iterable[Any]] = iter
) -> Iterator[Inspection]:
    """Looks at the datasets of a config one by one.

    Args:
        cfg: From :func:`eca_mm.engine.load_config`.
        quick: Look at 200 images of each dataset, evenly spread; at all annotations nevertheless.
        track: Shows the progress of an iterable.

    Raises:
        MissingFileError: If an annotation file or a folder is missing.
        UserError: If the config does not build a model or a dataset.
    """
    model = build_model(cfg)
    seen: list[Any] = []
    for kind in ('train', 'val', 'test'):
        for config in datasets(cfg.get(f'{kind}_dataloader')):
            if not config or config in seen:
                continue
            seen.append(config)
            check_data(Config(dict(loader=dict(dataset=config))), 'loader')
            with DefaultScope.overwrite_default_scope(scope_of(cfg)):
                yield _inspect(cfg, kind, config, model, quick, track)


def _inspect(cfg: Config, kind: str, config: Any, model: Any, quick: bool, track: Callable[..., Any]) -> Inspection:
    with building(f'the {kind} dataset', config):
        dataset = DATASETS.build({**config, 'lazy_init': True})
    findings = Findings()
    if has_coco_format(dataset):
        where, contents, images = _read_coco(cfg, kind, dataset, findings)
    else:
        where, contents, images = _read_other(kind, dataset, config, findings)
    for check in (lambda: check_evaluated_file(cfg, kind), lambda: check_classes(cfg, model, dataset, kind)):
        try:
            check()
        except UserError as error:
            findings.add(CLASSES, str(error))
    for path, _ in (remote := [image for image in images if '://' in image[0]]):
        findings.add(ELSEWHERE, path)
    local = [image for image in images if '://' not in image[0]] if remote else images
    some = [local[i * len(local) // QUICK] for i in range(QUICK)] if quick and len(local) > QUICK else local
    check_images(some, findings, track)
    return Inspection(f'{kind}: {where}', f'{contents}; {len(some)} images looked at', findings)


Images = list[tuple[str, tuple[float, float] | None]]


def _read_coco(cfg: Config, kind: str, dataset: Any, findings: Findings) -> tuple[str, str, Images]:
    try:
        content = json.loads(Path(dataset.ann_file).read_text())
    except (OSError, ValueError) as error:
        findings.add(NOT_READ, f'{type(error).__name__}: {error}')
        return dataset.ann_file, 'nothing', []
    masks = reads_masks(dataset) or (dataset.test_mode and evaluates_masks(cfg, kind))
    found = check_coco(content, dataset.metainfo.get('classes'), masks=masks, evaluated=dataset.test_mode)
    findings.places |= found.places
    if not isinstance(content, dict) or NO_LIST in found.places:
        return dataset.ann_file, 'nothing', []
    prefix = Path(dataset.data_prefix.get('img') or '')
    listed = [i for i in content['images'] if isinstance(i, dict) and isinstance(i.get('file_name'), str)]
    images = [(str(prefix / image['file_name']), _size(image)) for image in listed]
    contents = f'{len(images)} images, {len(content.get("annotations", []))} annotations'
    if not dataset.test_mode and not found.failures():
        dataset.full_init()  # which applies its filter_cfg
        trained = {os.path.normpath(dataset.get_data_info(i)['img_path']) for i in range(len(dataset))}
        for path, _ in images:
            if os.path.normpath(path) not in trained:
                findings.add(FILTERED, path)
        if not (dataset.filter_cfg or {}).get('filter_empty_gt') and NO_OBJECT in findings.places:
            findings.places[BACKGROUND] = findings.places.pop(NO_OBJECT)
    if NO_KEY not in found.places:
        contents += f' ({_first(count_classes(content))})'
    return dataset.ann_file, contents, images


def _first(counts: dict[str, int]) -> str:
    return ', '.join(f'{name} {count}' for name, count in list(counts.items())[:10]) + ', ...' * (len(counts) > 10)


def _size(image: dict[str, Any]) -> tuple[float, float] | None:
    width, height = image.get('width'), image.get('height')
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _read_other(kind: str, dataset: Any, config: Any, findings: Findings) -> tuple[str, str, Images]:
    with building(f'the {kind} dataset', config):
        dataset.full_init()
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    images: Images = [(info['img_path'], None) for info in infos if info.get('img_path')]
    classes = dataset.metainfo.get('classes') or ()
    labels = Counter(info['gt_label'] for info in infos if isinstance(info.get('gt_label'), int))
    for label in sorted(label for label in labels if classes and not 0 <= label < len(classes)):
        findings.add(NO_LABEL, f'{label} of {labels[label]} images, and there are {len(classes)} classes')
    for i, name in enumerate(classes if labels else ()):
        if not labels[i]:
            findings.add(NO_IMAGE, str(name))
    where = dataset.ann_file or next(iter(dataset.data_prefix.values()), '') or dataset.data_root
    counts = _first({str(name): labels[i] for i, name in enumerate(classes if labels else ())})
    return str(where), f'{len(images)} images' + f' ({counts})' * bool(counts), images
