"""Test-time augmentation as mmdet's and mmpretrain's tools/test.py do it."""

from typing import Any

from mmengine.config import Config, ConfigDict

from eca_mm.engine.config.parts import datasets, is_classifier
from eca_mm.errors import UserError

# mmdet registers its model in mmengine's root registry, where a scoped name is not looked up.
DETECTOR = dict(type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100))
CLASSIFIER = dict(type='mmpretrain.AverageClsScoreTTA')
# What DetTTAModel needs to turn boxes back.
KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')


def apply_tta(cfg: Config) -> None:
    """Wrap the model in the config's ``tta_model`` and set its ``tta_pipeline``; the default averages over a flip.

    Raises:
        UserError: If a dataset has no pipeline to put the flip into.
    """
    pipelines = [_flipped(cfg, dataset) for dataset in datasets(cfg.get('test_dataloader'))]
    for dataset, pipeline in zip(datasets(cfg.test_dataloader), pipelines, strict=True):
        dataset.pipeline = pipeline
    model = cfg.get('tta_model') or (CLASSIFIER if is_classifier(cfg) else DETECTOR)
    cfg.model = ConfigDict(**model, module=cfg.model)


def _flipped(cfg: Config, dataset: Any) -> Any:
    if stated := cfg.get('tta_pipeline'):
        return stated
    pipeline = dataset.get('pipeline')
    if not pipeline:
        raise UserError(f'--tta: a test dataset of {cfg.filename} has no pipeline: give the config a tta_pipeline')
    *first, pack = pipeline
    flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
    pack = dict(pack) if is_classifier(cfg) else dict(pack, meta_keys=KEYS)
    return [*first, dict(type='TestTimeAug', transforms=[flips, [pack]])]
