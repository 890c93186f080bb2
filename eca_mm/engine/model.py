"""The network of a config with the weights of a checkpoint, all of them."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DATASETS, MODELS, TRANSFORMS, DefaultScope
from torch import nn

from eca_mm.checkpoints import check_checkpoint, read_checkpoint
from eca_mm.engine.building import building
from eca_mm.engine.channels import check_channels
from eca_mm.engine.config import load_config
from eca_mm.engine.config.parts import class_of, datasets, scope_of
from eca_mm.errors import UserError


def load_model(config: str | Path | Config, checkpoint: str | Path | None, *, device: str | None = None) -> nn.Module:
    """The model of a config with the weights of a checkpoint, ready for :func:`eca_mm.predict`.

    It is mmdet's or mmpretrain's own, in evaluation mode; its ``cfg`` and ``dataset_meta`` (``classes`` and, for detectors,
    ``palette``) are where ``mmdet.apis.inference_detector`` and mmpretrain's inferencers look for them. Any number of models can
    be used in turn.

    Args:
        config: A config file, or what :func:`eca_mm.engine.load_config` made of one.
        checkpoint: File or URL of the weights; None for random ones, the same each time.
        device: As in torch; the first GPU or else the CPU by default.

    Raises:
        MissingFileError: If the config or the checkpoint is missing.
        UserError: If the config is wrong, the checkpoint cannot be read or does not fit it, or there is no such device.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'device {device!r} cannot be used: {str(error).splitlines()[0]}') from error
    cfg = config if isinstance(config, Config) else load_config(config)
    content = None if checkpoint is None else read_checkpoint(checkpoint)
    model: Any = model_of(cfg, content, str(checkpoint))
    model.cfg = model._config = _with_scoped_pipelines(cfg)
    model.dataset_meta = _dataset_meta(cfg, (content or {}).get('meta'))
    return model.to(device or get_device()).eval()


def _with_scoped_pipelines(cfg: Config) -> Config:
    """A config whose test pipeline is found in any scope: mmdet's ``inference_detector`` builds it in the current one."""
    scoped, scope = copy.deepcopy(cfg), scope_of(cfg)

    def add_scope(part: Any) -> Any:
        if isinstance(part, list | tuple):
            return [add_scope(inner) for inner in part]
        if not isinstance(part, dict):
            return part
        kind = part.get('type')
        # Names that mean the same everywhere stay: inferencers look for LoadImageFromFile.
        own, common = class_of(part, TRANSFORMS, scope), class_of(part, TRANSFORMS, 'mmengine')
        named = isinstance(kind, str) and '.' not in kind and own not in (None, common)
        changed = {key: add_scope(value) if key == 'transforms' else value for key, value in part.items()}
        return {**changed, 'type': f'{scope}.{kind}'} if named else changed

    for dataset in datasets(scoped.get('test_dataloader')):
        if dataset.get('pipeline'):
            dataset['pipeline'] = add_scope(dataset['pipeline'])
    return scoped


def _dataset_meta(cfg: Config, meta: Any) -> dict[str, Any]:
    """The classes of a training, as its checkpoint has them, or else the config's dataset."""
    dataset = next(datasets(cfg.get('test_dataloader')))
    with DATASETS.switch_scope_and_registry(scope_of(cfg)) as registry:
        kind = registry.get(dataset['type']) if isinstance(dataset.get('type'), str) else dataset.get('type')
    own = dataset.get('metainfo')
    found = {**getattr(kind, 'METAINFO', {}), **(own if isinstance(own, dict) else {})}
    trained = meta.get('dataset_meta') if isinstance(meta, dict) else None
    if isinstance(meta, dict) and 'CLASSES' in meta:  # mmengine 0.x
        trained = dict(classes=meta['CLASSES'])
    if isinstance(trained, dict):
        trained = {key.lower(): value for key, value in trained.items()}
        if trained.get('classes') != found.get('classes'):
            found = {}
        found |= trained
    return {'palette': 'random', **found}


def build_model(cfg: Config) -> nn.Module:
    """The config's model; its weights are random, whatever its ``init_cfg`` says.

    Raises:
        UserError: If the config does not build a model, or its parts do not fit one another.
    """
    model = {'data_preprocessor': cfg.get('data_preprocessor'), **cfg.model}  # as mmengine's Runner builds it
    with DefaultScope.overwrite_default_scope(scope_of(cfg)), building('a model', model):
        built = MODELS.build(model)
    check_channels(built)
    return built


def model_of(cfg: Config, checkpoint: Mapping[str, Any] | None, what: str) -> nn.Module:
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
        weights = check_checkpoint(model, checkpoint, what)
        model.load_state_dict(weights, strict=False)  # old files lack BN's count of batches
    return model
