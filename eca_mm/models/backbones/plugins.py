"""Bottlenecks with mmdet's plugins."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from eca_mm.errors import UserError
from eca_mm.models.backbones.layers import build_attention
from eca_mm.models.backbones.resnet import Bottleneck


class PluginBottleneck(Bottleneck):
    """Bottleneck with other layers behind its convolutions; behind the last one they follow the attention.

    Args:
        args: Those of :class:`Bottleneck`.
        plugins: As in mmdet: dicts with ``cfg`` and ``position``, 'after_conv1', 'after_conv2' or 'after_conv3'.
        kwargs: Those of :class:`Bottleneck`.

    Raises:
        UserError: For another position, or two plugins of one name.
    """

    def __init__(self, *args: Any, plugins: Sequence[Mapping[str, Any]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plugin_names: dict[Any, list[str]] = {f'after_conv{i}': [] for i in (1, 2, 3)}
        for plugin in plugins:
            if (position := plugin.get('position')) not in self.plugin_names:
                raise UserError(f'plugins: position must be one of {", ".join(self.plugin_names)}, got {position!r}')
            channels = self.out_channels if position == 'after_conv3' else self.mid_channels
            name, layer = build_attention(plugin['cfg'], channels)
            if hasattr(self, name):
                raise UserError(f'plugins: a block has two layers {name!r}; give one a postfix')
            self.add_module(name, layer)
            self.plugin_names[position].append(name)

    def after(self, i: int, x: Tensor) -> Tensor:
        """Apply the plugins behind convolution i."""
        for name in self.plugin_names[f'after_conv{i}']:
            x = getattr(self, name)(x)
        return x

    def residual(self, x: Tensor) -> Tensor:
        z = self.after(1, self.relu(self.norm1(self.conv1(x))))
        z = self.after(2, self.relu(self.norm2(self.conv2(z))))
        if not self.plugin_names['after_conv3']:
            return self.end(z, self.conv3, self.norm3, self.shortcut(x), relu=self.relu, drop_path=self.drop_path)
        out = self.drop_path(self.after(3, self.slot(self.norm3(self.conv3(z)))))
        return self.relu(out + self.shortcut(x))


def plugin_block(block: type[nn.Module]) -> type[PluginBottleneck]:
    """Return the block with plugins in the place of another; UserError if there is none."""
    if block is not Bottleneck:
        raise UserError(f'plugins need the bottlenecks of a ResNet from depth 50 on, got {block.__name__}')
    return PluginBottleneck
