"""The smallest networks of the configs, and a checkpoint of one."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from eca_mm.engine import load_config
from eca_mm.engine.model import model_of
from tests.support import REPOSITORY, randomize


@pytest.fixture(scope='session')
def small(tmp_path_factory):
    """Config files: ``classifier`` is ECA-ResNet-18 and ``detector`` Faster R-CNN with it, on the shapes."""
    folder = tmp_path_factory.mktemp('small')
    for name, base, part, channels in (
        ('classifier', 'imagenet/eca_resnet50', 'head', 512),
        ('detector', 'faster_rcnn_eca_r50_fpn_shapes', 'neck', [64, 128, 256, 512]),
    ):
        model = Config(dict(model={'backbone': {'depth': 18}, part: {'in_channels': channels}}))
        (folder / f'{name}.py').write_text(f'_base_ = {str(REPOSITORY / f"configs/{base}.py")!r}\n{model.pretty_text}')
    return folder


@pytest.fixture
def classifier(small):
    return load_config(small / 'classifier.py')


@pytest.fixture
def detector(small):
    return load_config(small / 'detector.py')


@pytest.fixture(scope='session')
def checkpoint(small, tmp_path_factory):
    """Of the classifier, as a training leaves it, with statistics of BN that are not those of a new network."""
    model = randomize(model_of(load_config(small / 'classifier.py'), None, 'none'))
    meta = dict(
        epoch=7, iter=70, mmengine_version='0.10.12', dataset_meta=dict(classes=('cat', 'dog'), palette=[(1, 2, 3)])
    )
    meta |= dict(cfg=f'data_root = {str(REPOSITORY)!r}', hook_msgs=dict(score=np.float64(0.5)))
    file = tmp_path_factory.mktemp('work') / 'epoch_7.pth'
    momentum = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}
    history = {'train/loss': HistoryBuffer([1.0], [1])}
    content = dict(meta=meta, state_dict=model.state_dict(), optimizer=momentum, message_hub=dict(log_scalars=history))
    torch.save(content, file)
    return file
