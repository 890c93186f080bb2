"""Write a whole config for converted weights, to be saved and run."""

from pathlib import Path
from typing import Any

from mmengine.registry import MODELS

from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.attention import source_code
from eca_mm.checkpoints.families import family_of
from eca_mm.checkpoints.family import Tensors
from eca_mm.checkpoints.weights import EmptyOnMeta

_ANCHORS = 9  # at each position, in RetinaNet


def classifier_config(network: Architecture, weights: Tensors) -> str:
    """Write the config of a classifier for its checkpoint."""
    parts = {}
    if 'head.fc.weight' in weights:  # else it is part of the backbone
        classes, features = weights['head.fc.weight'].shape
        parts['head'] = dict(in_channels=features, num_classes=classes, topk=tuple(k for k in (1, 5) if k <= classes))
    return _text(family_of(network.family).classifier_config, backbone=network.config, **parts)


def detector_config(network: Architecture, file: str | Path) -> str:
    """Write the config of a Faster R-CNN of mmdet that starts from a backbone's file."""
    stages = family_of(network.family).detector_stages
    with EmptyOnMeta():
        built: Any = MODELS.build(network.config)
    channels = [getattr(built, f'layer{i + 1}')[0].out_channels for i in stages]
    weights = dict(init_cfg=dict(type='Pretrained', checkpoint=str(file)))
    backbone = network.config | _in_detectors(network) | weights
    return _text(
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', backbone=backbone, neck=dict(in_channels=channels)
    )


def legacy_config(network: Architecture, weights: Tensors) -> str:
    """Write the config of a detector of MMDetection 1.x for its converted checkpoint."""
    backbone = network.config | _in_detectors(network)
    if 'bbox_head.retina_cls.bias' in weights:
        classes = len(weights['bbox_head.retina_cls.bias']) // _ANCHORS
        return _text('eca_mm::legacy/retinanet_eca_r50_fpn.py', backbone=backbone, bbox_head=dict(num_classes=classes))
    mask = 'roi_head.mask_head.conv_logits.bias' in weights
    classes = len(weights['roi_head.bbox_head.fc_cls.bias']) - 1  # without the background
    heads = {name: dict(num_classes=classes) for name in ('bbox_head', 'mask_head')[: 1 + mask]}
    return _text(
        f'eca_mm::legacy/{"mask" if mask else "faster"}_rcnn_eca_r50_fpn.py', backbone=backbone, roi_head=heads
    )


def _in_detectors(network: Architecture) -> dict[str, Any]:
    return dict(out_indices=family_of(network.family).detector_stages, frozen_stages=1, norm_eval=True)


def _text(base: str, backbone: dict[str, Any], **parts: dict[str, Any]) -> str:
    imports = '' if base.startswith('eca_mm::') else "custom_imports = dict(imports=['eca_mm'])\n"
    lines = [
        f'    {name}={source_code(part)},'
        for name, part in dict(backbone=dict(_delete_=True) | backbone, **parts).items()
    ]
    return '\n'.join([f'_base_ = {base!r}', f'{imports}model = dict(', *lines, ')'])
