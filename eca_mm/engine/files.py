"""The files that a config needs, looked for before any model is built."""

import os
from pathlib import Path
from typing import Any

from mmengine.config import Config

from eca_mm.checkpoints.download import local_file
from eca_mm.checkpoints.known import KNOWN, ways_to_weights
from eca_mm.datasets.guarded import unwrapped
from eca_mm.engine.config.parts import data_root, datasets, type_name
from eca_mm.errors import MissingFileError, UserError

ADVICE = {
    'CocoDataset': (
        'Get COCO 2017 (annotations, train2017 and val2017) from cocodataset.org and name its folder by `data_root` '
        'or the environment variable COCO_ROOT. configs/faster_rcnn_eca_r50_fpn_shapes.py needs no data.'
    ),
    'ImageNet': (
        'Get ILSVRC2012 from image-net.org, one folder per class below train and val, and name its folder by '
        '`data_root` or the environment variable IMAGENET_ROOT.'
    ),
}

FROM_SCRATCH = '`cfg_options` backbone_weights=None model.backbone.norm_eval=False model.backbone.frozen_stages=-1'


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
    for dataset in (dataset for name in loaders for dataset in datasets(cfg.get(name))):
        for path in _paths(dataset):
            if not path.exists():
                raise MissingFileError(f'data not found: {path} does not exist. {_advice(dataset)}')
            if path.is_dir() and not os.listdir(path):
                raise MissingFileError(f'data not found: {path} is empty. {_advice(dataset)}')


def check_first_image(loader: dict[str, Any], dataset: Any) -> None:
    """Look for the file of each built dataset's first image: annotations and images may be of different places.

    Raises:
        MissingFileError: With its path and what to do.
    """
    for config, part in zip(datasets(loader), unwrapped(dataset), strict=False):
        image = part.get_data_info(0).get('img_path') if hasattr(part, 'get_data_info') else None
        if image and '://' not in image and not Path(image).is_file():
            raise MissingFileError(f'data not found: {image}, the first image, does not exist. {_advice(config)}')


def _advice(dataset: dict[str, Any]) -> str:
    own = 'classes' in (dataset.get('metainfo') or {}) or (
        type_name(dataset) == 'CocoDataset' and '2017' not in str(dataset)
    )
    if own or type_name(dataset) not in ADVICE:
        return "Check the dataset's data_root, ann_file and data_prefix in the config, or name another root by `data_root`."
    return ADVICE[type_name(dataset)]


def _paths(dataset: dict[str, Any]) -> list[Path]:
    if type_name(dataset) == 'ShapesDataset':  # draws itself
        return []
    prefix = dataset.get('data_prefix') or {}
    split = dataset.get('split') if type_name(dataset) == 'ImageNet' else None
    parts = [split, dataset.get('ann_file'), *(prefix.values() if isinstance(prefix, dict) else [prefix])]
    if '://' in str(dataset.get('data_root') or ''):
        return []  # on a server, which mmengine reads from
    return [data_root(dataset) / part for part in parts if part]


def check_weights(cfg: Config) -> None:
    """Looks for the weights that the backbone starts a training from.

    Raises:
        MissingFileError: With the path, how to get such a file, and how to train without it; for a known name, with
            where to get the file.
        UserError: If there are none, and stages or batch statistics that would stay random are frozen.
    """
    backbone = cfg.model.get('backbone') or {}
    init = backbone.get('init_cfg')
    if init is None and not (backbone.get('pretrained') or cfg.model.get('init_cfg') or cfg.model.get('pretrained')):
        stages, norm = backbone.get('frozen_stages', -1), backbone.get('norm_eval', False)
        if norm or (isinstance(stages, int) and stages >= 0):
            raise UserError(
                f'the backbone has no pretrained weights, and frozen_stages={stages} with norm_eval={norm} would keep some '
                'of its random ones: name weights by `cfg_options` backbone_weights=FILE, or train from scratch: '
                + FROM_SCRATCH
            )
    source = init.get('checkpoint') if isinstance(init, dict) and init.get('type') == 'Pretrained' else None
    if source is not None and not isinstance(source, str):
        raise UserError(f'backbone weights must be a file, a URL or a known name, got {source!r}')
    if source in KNOWN:
        local_file(source)
    elif source and '://' not in source and not Path(source).expanduser().is_file():
        raise MissingFileError(
            f'backbone weights not found: {source}. {ways_to_weights(Path(source).stem)} Or train from scratch: {FROM_SCRATCH}'
        )
