"""What the backbones share: one entry per stage, and pretrained weights that are loaded whole or refused."""

from typing import Any

from torch import nn

from eca_mm.checkpoints import load_backbone

Attention = dict[str, Any] | None


class StrictBackbone(nn.Module):
    """Put before a backbone of mmpretrain: ``init_cfg=dict(type='Pretrained', ...)`` then goes through `load_backbone`."""

    init_cfg: Any

    def train(self, mode: bool = True) -> 'StrictBackbone':
        super().train(mode)
        return self  # as torch promises, and mmpretrain 1.2.0 does not

    def init_weights(self) -> None:
        """As in mmpretrain, but a pretrained backbone is loaded whole or refused."""
        if isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained':
            load_backbone(self, self.init_cfg['checkpoint'])
        else:
            super().init_weights()  # type: ignore[misc]


def per_stage(name: str, value: Any, num_stages: int) -> list[Any]:
    """One entry per stage: a list or tuple as it is, anything else repeated.

    Raises:
        ValueError: If a list or tuple has not ``num_stages`` entries.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * num_stages
    if len(value) != num_stages:
        raise ValueError(f'{name} needs one entry per stage, {num_stages}, got {len(value)}: {value!r}')
    return list(value)
