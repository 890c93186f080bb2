"""The files that a config needs, looked for before any model is built."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from eca_mm.checkpoints.known import KNOWN, known_file

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


def check_data(cfg: Config, *loaders: str) -> None:
    """Looks for the annotation files and image folders of the named dataloaders.

    Raises:
        FileNotFoundError: With the first missing path and what to do.
    """
    for name in loaders:
        for dataset in _leaves((cfg.get(name) or {}).get('dataset') or {}):
            for path in _paths(dataset):
                if not path.exists():
                    advice = ADVICE.get(str(dataset.get('type')).split('.')[-1], 'Check data_root in the config.')
                    raise FileNotFoundError(f'data not found: {path} does not exist. {advice}')


def _leaves(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The dataset itself, or those that RepeatDataset, ConcatDataset and their like hold."""
    inner = [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets')
    if inner is None:
        yield dataset
    for part in inner or []:
        yield from _leaves(part)


def _paths(dataset: dict[str, Any]) -> Iterator[Path]:
    root = Path(dataset.get('data_root') or '')
    kind = str(dataset.get('type', '')).split('.')[-1]
    if kind == 'ShapesDataset':  # draws itself
        return
    if kind == 'ImageNet':
        yield root / dataset.get('split', '')
    if dataset.get('ann_file'):
        yield root / dataset['ann_file']
    prefix = dataset.get('data_prefix') or {}
    for folder in prefix.values() if isinstance(prefix, dict) else [prefix]:
        if folder:
            yield root / folder


def check_weights(cfg: Config) -> None:
    """Looks for the pretrained weights of the backbone.

    Raises:
        FileNotFoundError: With the path, how to get such a file, and how to train without it; for a known name, with
            where to get the file.
    """
    init = (cfg.model.get('backbone') or {}).get('init_cfg')
    if not isinstance(init, dict) or init.get('type') != 'Pretrained':
        return
    source = init['checkpoint']
    if '://' in source or Path(source).expanduser().is_file():
        return
    if source in KNOWN:
        known_file(source)
        return
    raise FileNotFoundError(
        f'backbone weights not found: {source}. Train them with a config of configs/imagenet, or put a file there from the '
        "authors' or torchvision's ResNets (README, 'Backbone weights'); another place is named by --cfg-options "
        'backbone_weights=FILE. To train from scratch: --cfg-options backbone_weights=None model.backbone.norm_eval=False '
        'model.backbone.frozen_stages=-1'
    )
