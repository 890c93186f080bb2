"""The network of a config with the weights of a checkpoint, all of them."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from eca_mm.checkpoints import check_model, check_values, weights_of
from eca_mm.engine.building import building


def build_model(cfg: Config) -> nn.Module:
    """The config's model; its weights are random, whatever its ``init_cfg`` says.

    Raises:
        UserError: If the config does not build a model.
    """
    model = {'data_preprocessor': cfg.get('data_preprocessor'), **cfg.model}  # as mmengine's Runner builds it
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')), building('a model', model):
        return MODELS.build(model)


def load_model(cfg: Config, checkpoint: Mapping[str, Any] | None, what: str) -> nn.Module:
    """The config's model with the weights of a checkpoint, all of them, or with the same random ones each time.

    torch's random state stays as it was.

    Args:
        cfg: From :func:`eca_mm.engine.load_config`.
        checkpoint: From :func:`eca_mm.checkpoints.read_checkpoint`, or None for random weights.
        what: Names the checkpoint in messages.

    Raises:
        UserError: If the config does not build a model, or the weights do not fit it or are not finite numbers.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(0)
        model = build_model(cfg)
    if checkpoint is not None:
        weights = weights_of(checkpoint, what)
        own = model.state_dict()
        check_model(own, weights, what)
        check_values({key: value for key, value in weights.items() if own[key].is_floating_point()}, what)
        model.load_state_dict(weights, strict=False)  # old files lack BN's count of batches
    return model
