"""The detectors of configs/legacy, and their weights as MMDetection 1.x wrote them."""

import torch
from mmengine.registry import MODELS, init_default_scope

from eca_mm.engine import load_config
from tests.support import REPOSITORY

CONFIGS = REPOSITORY / 'configs/legacy'


def detector_config(name, **options):
    """The config of a detector."""
    return load_config(CONFIGS / f'{name}.py', cfg_options=options)


def build(name, part='model', **options):
    """The detector of a config, or a part of it, such as ``roi_head``, with what the detector hands to this part."""
    cfg = detector_config(name, **options).model
    init_default_scope('mmdet')
    if part == 'roi_head':
        cfg = {**cfg.roi_head, 'train_cfg': None, 'test_cfg': cfg.test_cfg.rcnn}
    elif part == 'bbox_head':
        cfg = {**cfg.bbox_head, 'train_cfg': None, 'test_cfg': cfg.test_cfg}
    return MODELS.build(cfg).eval()


def downgrade(state):
    """A state dict of mmdet 3 as 1.x would have written it, with weights of their own for the background."""
    generator, old = torch.Generator().manual_seed(1), {}
    for key, tensor in state.items():
        key = key.replace('roi_head.', '')
        if 'fc_cls' in key:
            tensor = torch.cat((tensor[80:], tensor[:80]))
        elif 'fc_reg' in key or 'conv_logits' in key:
            background = torch.randn(4 if 'fc_reg' in key else 1, *tensor.shape[1:], generator=generator)
            tensor = torch.cat((background, tensor))
        old[key] = tensor
    return old
