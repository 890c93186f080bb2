"""The files that a config needs, looked for before any model is built."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from eca_mm.checkpoints.download import local_file
from eca_mm.checkpoints.known import KNOWN, known_file
from eca_mm.errors import MissingFileError, UserError

ADVICE = {
    'CocoDataset': (
        'Get COCO 2017 (annotations, train2017 and val2017) from cocodataset.org and name its folder by --data-root '
        'or the environment variable COCO_ROOT. configs/faster_rcnn_eca_r50_fpn_shapes.py needs no data.'
    ),
    'ImageNet': (
        'Get ILSVRC2012 from image-net.org, one folder per class below train and val, and name its folder by '
        '--data-root or the environment variable IMAGENET_ROOT.'
    ),
}

# What mmdet reads of every entry of a COCO file.
ENTRIES = {'images': ('id', 'file_name', 'height', 'width'), 'annotations': ('image_id', 'category_id', 'bbox', 'area')}

FROM_SCRATCH = '--cfg-options backbone_weights=None model.backbone.norm_eval=False model.backbone.frozen_stages=-1'


def require(cfg: Config, purpose: str, *keys: str) -> None:
    """Raises a UserError if the config lacks one of the keys, or has None there."""
    for key in keys:
        if cfg.get(key) is None:
            raise UserError(f'{cfg.filename} has no {key}, which {purpose} needs')


def check_data(cfg: Config, *loaders: str) -> None:
    """Looks for the annotation files and image folders of the named dataloaders.

    Raises:
        MissingFileError: With the first path that is missing, or the first folder that is empty, and what to do.
    """
    for name in loaders:
        for dataset in _leaves(cfg.get(name)):
            for path in _paths(dataset):
                if not path.exists():
                    raise MissingFileError(f'data not found: {path} does not exist. {_advice(dataset)}')
                if path.is_dir() and _is_empty(path):
                    raise MissingFileError(f'data not found: {path} is empty. {_advice(dataset)}')


def _is_empty(folder: Path) -> bool:
    with os.scandir(folder) as entries:  # not all 118,287 of them
        return not any(entries)


def check_first_image(loader: dict[str, Any], dataset: Any) -> None:
    """Looks for the file of a built dataset's first image: annotations and images may be of different places.

    Raises:
        MissingFileError: With its path and what to do.
        UserError: If there is no image.
    """
    if not hasattr(dataset, 'get_data_info'):
        return
    try:
        image = dataset.get_data_info(0).get('img_path')
    except IndexError as error:
        raise UserError(f'{", ".join(map(str, annotation_files(loader)))}: no image for this loop') from error
    if image and '://' not in image and not Path(image).is_file():
        advice = _advice(next(_leaves(loader)))
        raise MissingFileError(f'data not found: {image}, the first image, does not exist. {advice}')


def check_annotations(loader: dict[str, Any]) -> None:
    """Makes sure that the entries of a dataloader's COCO files have what mmdet reads of them.

    Raises:
        UserError: With the file and what the first incomplete entry lacks.
    """
    for dataset in _leaves(loader):
        if _kind(dataset) == 'CocoDataset':
            file = _root(dataset) / dataset['ann_file']
            content = json.loads(file.read_text())
            for part, keys in ENTRIES.items():
                for entry in content.get(part, []):
                    missing = [key for key in keys if key not in entry]
                    if missing:
                        raise UserError(f'{file}: an entry of {part} has no {", ".join(missing)}')


def annotation_files(loader: dict[str, Any] | None) -> list[Path]:
    """The annotation files of a dataloader's datasets."""
    return [_root(dataset) / dataset['ann_file'] for dataset in _leaves(loader) if dataset.get('ann_file')]


def _leaves(loader: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A dataloader's dataset, or those that RepeatDataset, ConcatDataset and their like hold."""
    dataset = (loader or {}).get('dataset') or {}
    if 'dataset' in dataset:
        yield from _leaves(dataset)
    elif 'datasets' in dataset:
        for part in dataset['datasets']:
            yield from _leaves(dict(dataset=part))
    else:
        yield dataset


def _root(dataset: dict[str, Any]) -> Path:
    return Path(dataset.get('data_root') or '')


def _kind(dataset: dict[str, Any]) -> str:
    return str(dataset.get('type', '')).split('.')[-1]


def _advice(dataset: dict[str, Any]) -> str:
    return ADVICE.get(_kind(dataset), 'Check data_root in the config.')


def _paths(dataset: dict[str, Any]) -> Iterator[Path]:
    root = _root(dataset)
    if _kind(dataset) == 'ShapesDataset':  # draws itself
        return
    if _kind(dataset) == 'ImageNet':
        yield root / dataset.get('split', '')
    if dataset.get('ann_file'):
        yield root / dataset['ann_file']
    prefix = dataset.get('data_prefix') or {}
    for folder in prefix.values() if isinstance(prefix, dict) else [prefix]:
        if folder:
            yield root / folder


def check_weights(cfg: Config) -> None:
    """Looks for the weights that a training starts from: the checkpoint ``load_from``, or else the backbone's.

    Raises:
        MissingFileError: With the path, how to get such a file, and how to train without it; for a known name, with
            where to get the file.
        UserError: If the backbone's are not named by a string, or if there are none, and stages or batch statistics that
            would stay random are frozen.
    """
    if cfg.get('load_from'):  # what it lacks is looked for when the model is there to tell
        local_file(str(cfg.load_from))
    else:
        check_backbone_weights(cfg)


def check_backbone_weights(cfg: Config) -> None:
    """Looks for the backbone's weights; raises as :func:`check_weights`."""
    backbone = cfg.model.get('backbone') or {}
    init = backbone.get('init_cfg')
    if init is None and not (backbone.get('pretrained') or cfg.model.get('init_cfg') or cfg.model.get('pretrained')):
        _check_thawed(backbone)
    if not isinstance(init, dict) or init.get('type') != 'Pretrained':
        return
    source = init.get('checkpoint')
    if not isinstance(source, str):
        raise UserError(f'backbone weights must be a file, a URL or a known name, got {source!r}')
    if '://' in source or Path(source).expanduser().is_file():
        return
    if source in KNOWN:
        known_file(source)
        return
    raise MissingFileError(
        f'backbone weights not found: {source}. Train them with a config of configs/imagenet, or put a file there from the '
        "authors' or torchvision's ResNets (README, 'Backbone weights'); another place is named by --cfg-options "
        f'backbone_weights=FILE. To train from scratch: {FROM_SCRATCH}'
    )


def _check_thawed(backbone: dict[str, Any]) -> None:
    stages, norm = backbone.get('frozen_stages', -1), backbone.get('norm_eval', False)
    if norm or (isinstance(stages, int) and stages >= 0):
        raise UserError(
            f'the backbone has no pretrained weights, and frozen_stages={stages} with norm_eval={norm} would keep some of '
            f'its random ones: name weights by --cfg-options backbone_weights=FILE, or train from scratch: {FROM_SCRATCH}'
        )
