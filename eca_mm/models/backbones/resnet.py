"""ResNet with an attention slot in every block: the paper's Figure 2."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.checkpoints.attention import Attention, per_stage
from eca_mm.checkpoints.families.resnet import RESNETS
from eca_mm.errors import UserError
from eca_mm.models.backbones import options
from eca_mm.models.backbones.base import AttentionBlock, Backbone
from eca_mm.models.backbones.layers import ConvNorm, DropPath, build_conv, build_norm

Config = dict[str, Any]
BN = dict(type='BN', requires_grad=True)


class ResidualBlock(AttentionBlock):
    """Block ``ReLU(drop_path(attention(branch(x))) + shortcut(x))``; its arguments are those of mmpretrain's blocks.

    Args:
        in_channels: Number of channels C.
        out_channels: Number of channels C' behind the block.
        expansion: C' divided by the channels inside the branch.
        stride: Of the branch.
        dilation: Of its 3x3 convolution.
        downsample: The shortcut; None for the identity.
        style: Position of a bottleneck's stride: in its 3x3 convolution ('pytorch') or in its first one ('caffe').
        with_cp: See :class:`AttentionBlock`.
        conv_cfg: Config of the convolutions, None for torch's.
        norm_cfg: Config of the norms.
        drop_path_rate: Probability to drop the branch in training.
        groups: Groups of a bottleneck's 3x3 convolution.
        mid_channels: Channels inside the branch, instead of C' / expansion.
        dcn: Config of a deformable convolution instead of a bottleneck's 3x3 one.
        attention: Config of the layer in the slot, or None.
        fused: See :class:`AttentionBlock`.
    """

    expansion: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int | None = None,
        stride: int = 1,
        dilation: int = 1,
        downsample: nn.Module | None = None,
        style: str = 'pytorch',
        with_cp: bool = False,
        conv_cfg: Config | None = None,
        norm_cfg: Config = BN,
        drop_path_rate: float = 0.0,
        groups: int = 1,
        mid_channels: int | None = None,
        dcn: Config | None = None,
        attention: Attention = None,
        fused: bool = True,
    ) -> None:
        super().__init__()
        options.check_style(style)
        self.expansion = self.expansion if expansion is None else expansion
        if out_channels % self.expansion:
            raise UserError(f'out_channels must be a multiple of expansion={self.expansion}, got {out_channels}')
        self.in_channels, self.out_channels = in_channels, out_channels
        self.mid_channels = mid_channels or out_channels // self.expansion
        self.stride, self.dilation, self.style, self.groups = stride, dilation, style, groups
        self.conv_cfg, self.norm_cfg, self.with_cp, self.fused = conv_cfg, norm_cfg, with_cp, fused
        self.build_branch(dcn)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate > 1e-5 else nn.Identity()
        self.fill_slot(attention)

    def build_branch(self, dcn: Config | None) -> None:
        """Build convolutions and norms."""
        raise NotImplementedError

    def add_conv(self, i: int, *shape: int, cfg: Config | None = None, **kwargs: int) -> None:
        """Register convolution i, ``conv1``, and the norm behind it, ``bn1`` or as ``norm_cfg`` names it."""
        self.add_module(f'conv{i}', build_conv(cfg or self.conv_cfg, *shape, **kwargs))
        self.add_norm(i, shape[1])

    def add_norm(self, i: int, channels: int) -> None:
        name, norm = build_norm(self.norm_cfg, channels, i)
        setattr(self, f'norm{i}_name', name)
        self.add_module(name, norm)

    @property
    def norm1(self) -> nn.Module:
        return getattr(self, self.norm1_name)

    @property
    def norm2(self) -> nn.Module:
        return getattr(self, self.norm2_name)

    @property
    def norm3(self) -> nn.Module:
        return getattr(self, self.norm3_name)

    def shortcut(self, x: Tensor) -> Tensor:
        return x if self.downsample is None else self.downsample(x)


class BasicBlock(ResidualBlock):
    """Block of two 3x3 convolutions: ResNet-18 and 34."""

    expansion = 1

    def build_branch(self, dcn: Config | None) -> None:
        self.add_conv(1, self.in_channels, self.mid_channels, 3, self.stride, self.dilation, self.dilation)
        self.add_conv(2, self.mid_channels, self.out_channels, 3, 1, 1)

    def residual(self, x: Tensor) -> Tensor:
        z = self.relu(self.norm1(self.conv1(x)))
        return self.end(z, self.conv2, self.norm2, self.shortcut(x), relu=self.relu, drop_path=self.drop_path)

    @property
    def last_norm(self) -> nn.Module:
        return self.norm2


class Bottleneck(ResidualBlock):
    """Block of a 1x1, a 3x3 and a 1x1 convolution: ResNet-50 and deeper."""

    expansion = 4

    def build_branch(self, dcn: Config | None) -> None:
        first, second = (1, self.stride) if self.style == 'pytorch' else (self.stride, 1)
        around = dict(padding=self.dilation, dilation=self.dilation, groups=self.groups)
        self.add_conv(1, self.in_channels, self.mid_channels, 1, first)
        self.add_conv(2, self.mid_channels, self.mid_channels, 3, second, cfg=dcn, **around)
        self.add_conv(3, self.mid_channels, self.out_channels, 1)

    def residual(self, x: Tensor) -> Tensor:
        z = self.relu(self.norm1(self.conv1(x)))
        z = self.relu(self.norm2(self.conv2(z)))
        return self.end(z, self.conv3, self.norm3, self.shortcut(x), relu=self.relu, drop_path=self.drop_path)

    @property
    def last_norm(self) -> nn.Module:
        return self.norm3


@MODELS.register_module()
class AttentionResNet(Backbone):
    """ResNet with one attention layer in every block, after its last norm and before the residual sum.

    Takes images (N, 3, H, W) and returns a tuple of features, one per stage in ``out_indices``: (N, 256 * 2^i, H /
    2^(i+2), W / 2^(i+2)) for stage i of a depth from 50 on, a quarter of these channels for 18 and 34. It takes all arguments
    of mmpretrain's ResNet, with its defaults, and of mmdet's: in a detector ``out_indices=(0, 1, 2, 3), frozen_stages=1,
    norm_eval=True`` is usual. Equal weights give the features of either to the last bit.

    Args:
        depth: 18, 26, 34, 50, 101, 152, 200 or 269; with ``stage_blocks`` any other.
        attention: Config of the layer, e.g. ``dict(type='ECALayer')``, built with ``in_channels`` of the block's
            output; None for a plain ResNet; or a sequence of these, one per stage.
        stage_blocks: Number of blocks in each stage, where it is not the usual one of the depth. The depth is 2 plus the
            convolutions of all blocks: 3 times their number in bottlenecks, twice in basic blocks.
        in_channels: Channels of the images.
        stem_channels: Channels behind the stem; None for ``base_channels``.
        base_channels: Channels inside the branches of the first stage.
        expansion: Channels behind a branch divided by those inside, 4 in bottlenecks by default.
        num_stages: Number of stages.
        strides: Of the first block of each stage.
        dilations: Of the 3x3 convolutions in each stage.
        out_indices: Stages whose features are returned.
        style: Position of a bottleneck's stride: in its 3x3 convolution ('pytorch') or in its first one ('caffe').
        deep_stem: Three 3x3 convolutions instead of one of 7x7, ResNet-D's: of 32, 32 and 64 channels, or with 'tiered' of 24,
            32 and 64 (timm's ``t``).
        avg_down: Average pooling instead of a stride in the shortcuts, ResNet-D's.
        frozen_stages: The stem and so many stages get no gradients, and keep their statistics; -1 for none.
        conv_cfg: Config of the convolutions, for mmcv; None for torch's.
        norm_cfg: Config of the norms.
        norm_eval: Whether batch norms use their running statistics in training too.
        with_cp: Whether to save memory by computing every block twice. As in mmpretrain both passes move the running
            statistics of batch norms that are being trained.
        zero_init_residual: Whether the last norm of each branch starts with a weight of zero.
        drop_path_rate: Stochastic depth: the probability to drop the last branch, which falls linearly to the first.
        groups: Groups of the 3x3 convolutions of bottlenecks.
        width_per_group: Their channels per group in the first stage; None for ``base_channels`` in all.
        dcn: Config of deformable convolutions instead of these, for mmcv, in the stages of ``stage_with_dcn``.
        stage_with_dcn: One bool per stage.
        plugins: Layers behind the convolutions of bottlenecks, as in mmdet:
            ``[dict(cfg=dict(type='ContextBlock', ratio=1 / 16), stages=(False, True, True, True), position='after_conv3')]``.
            One at 'after_conv3' comes behind the attention.
        fused: False switches the fast paths of docs/speed.md off.
        pretrained: Older form of ``init_cfg=dict(type='Pretrained', checkpoint=pretrained)``.
        init_cfg: Initialization. Pretrained weights are loaded strictly: see :func:`eca_mm.checkpoints.load_backbone`.

    Raises:
        UserError: For an unknown depth, an attention that is not registered, a sequence that has not one entry per stage, or
            a stage in ``out_indices`` or ``frozen_stages`` that does not exist.
    """

    blocks: dict[int, type[ResidualBlock]] = {2: BasicBlock, 3: Bottleneck}  # by their convolutions
    depths: Mapping[int, tuple[int, Sequence[int]]] = RESNETS  # depth: convolutions of a block, blocks of each stage

    def __init__(
        self,
        depth: int,
        attention: Attention | Sequence[Attention] = None,
        *,
        stage_blocks: Sequence[int] | None = None,
        in_channels: int = 3,
        stem_channels: int | None = 64,
        base_channels: int = 64,
        expansion: int | None = None,
        num_stages: int = 4,
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        out_indices: Sequence[int] = (3,),
        style: str = 'pytorch',
        deep_stem: bool | str = False,
        avg_down: bool = False,
        frozen_stages: int = -1,
        conv_cfg: Config | None = None,
        norm_cfg: Config = BN,
        norm_eval: bool = False,
        with_cp: bool = False,
        zero_init_residual: bool = True,
        drop_path_rate: float = 0.0,
        groups: int = 1,
        width_per_group: int | None = None,
        dcn: Config | None = None,
        stage_with_dcn: Sequence[bool] = (False,) * 4,
        plugins: Sequence[Config] | None = None,
        fused: bool = True,
        pretrained: str | None = None,
        init_cfg: Any = options.INITIALIZATION,
    ) -> None:
        super().__init__(init_cfg if pretrained is None else dict(type='Pretrained', checkpoint=pretrained))
        convs, counts = options.block_counts(depth, stage_blocks, self.depths, self.blocks)
        options.check(num_stages, len(counts), strides, dilations, out_indices, frozen_stages, style, deep_stem, fused)
        self.depth, self.num_stages, self.stage_blocks = depth, num_stages, counts[:num_stages]
        self.strides, self.dilations, self.out_indices, self.style = strides, dilations, out_indices, style
        self.base_channels, self.stem_channels = base_channels, stem_channels or base_channels
        self.deep_stem, self.avg_down, self.frozen_stages = deep_stem, avg_down, frozen_stages
        self.conv_cfg, self.norm_cfg, self.norm_eval = conv_cfg, norm_cfg, norm_eval
        self.zero_init_residual = zero_init_residual
        self.groups, self.width_per_group = groups, width_per_group
        self.block = self.blocks[convs]
        if plugins:
            self.block = importlib.import_module('eca_mm.models.backbones.plugins').plugin_block(self.block)
        self.expansion = expansion or self.block.expansion

        attentions = per_stage('attention', attention, num_stages)
        rates = torch.linspace(0, drop_path_rate, sum(counts), device='cpu').tolist()
        self.build_stem(in_channels)
        self.res_layers = [f'layer{i + 1}' for i in range(num_stages)]
        for i, name in enumerate(self.res_layers):
            first = sum(counts[:i])
            settings = dict(with_cp=with_cp, fused=fused, attention=attentions[i])
            settings |= options.mmdet_settings(i, num_stages, dcn, stage_with_dcn, plugins)
            self.add_module(name, self.build_stage(i, rates[first : first + counts[i]], **settings))
        self.feat_dim = self.base_channels * 2 ** (num_stages - 1) * self.expansion
        self._freeze_stages()

    def build_stem(self, in_channels: int) -> None:
        """Build the layers in front of the first stage."""
        last = self.stem_channels
        if self.deep_stem:
            half = last // 2
            widths = (in_channels, 3 * (half // 4) if self.deep_stem == 'tiered' else half, half, last)
            convs = [
                build_conv(self.conv_cfg, widths[i], widths[i + 1], 3, stride=1 if i else 2, padding=1)
                for i in range(3)
            ]
            norms = [build_norm(self.norm_cfg, width) for width in widths[1:]]
            self.stem = nn.Sequential(*map(ConvNorm, convs, norms))
        else:
            self.conv1 = build_conv(self.conv_cfg, in_channels, last, 7, stride=2, padding=3)
            self.norm1_name, norm = build_norm(self.norm_cfg, last, 1)
            self.add_module(self.norm1_name, norm)
            self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def build_stage(self, i: int, drop_path_rates: Sequence[float], **settings: Any) -> nn.Sequential:
        """Build stage i: a block for each drop path rate."""
        width, stride = self.base_channels * 2**i, self.strides[i]
        out_channels = width * self.expansion
        channels = out_channels // 2 if i else self.stem_channels
        settings |= dict(dilation=self.dilations[i], style=self.style, conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg)
        settings |= dict(expansion=self.expansion, groups=self.groups)
        if self.width_per_group is not None:
            settings['mid_channels'] = self.groups * self.width_per_group * 2**i
        blocks = []
        for rate in drop_path_rates:
            downsample = self.build_shortcut(channels, out_channels, stride)
            block = self.block(
                channels, out_channels, stride=stride, downsample=downsample, drop_path_rate=rate, **settings
            )
            blocks.append(block)
            channels, stride = out_channels, 1
        return nn.Sequential(*blocks)

    def build_shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        """Build the shortcut of a block: a 1x1 convolution where the shape changes, None for the identity."""
        if stride == 1 and in_channels == out_channels:
            return None
        pooled = self.avg_down and stride != 1
        pool = [nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)] if pooled else []
        conv = build_conv(self.conv_cfg, in_channels, out_channels, 1, stride=1 if pooled else stride)
        return nn.Sequential(*pool, conv, build_norm(self.norm_cfg, out_channels)[1])

    @property
    def norm1(self) -> nn.Module:
        return getattr(self, self.norm1_name)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x) if self.deep_stem else self.relu(self.norm1(self.conv1(x)))
        x = self.maxpool(x)
        features = []
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                features.append(x)
        return tuple(features)

    def draw_weights(self) -> None:
        super().draw_weights()
        if self.zero_init_residual:
            for block in self.modules():
                if isinstance(block, ResidualBlock):
                    nn.init.zeros_(block.last_norm.weight)
                    nn.init.zeros_(block.last_norm.bias)

    def train(self, mode: bool = True) -> 'AttentionResNet':
        """Set the mode; frozen stages stay in evaluation mode, and with ``norm_eval`` all batch norms."""
        super().train(mode)
        self._freeze_stages()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def _freeze_stages(self) -> None:
        stem = [self.stem] if self.deep_stem else [self.conv1, self.norm1]
        stages = [getattr(self, name) for name in self.res_layers[: max(self.frozen_stages, 0)]]
        for module in (*stem, *stages) if self.frozen_stages >= 0 else ():
            module.eval().requires_grad_(False)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the layer of a parameter, and the number of layers, for mmpretrain's learning rate decay by layers."""
        return options.layer_depth(self.stage_blocks, param_name, prefix)


@MODELS.register_module()
class ECAResNet(AttentionResNet):
    """ECA-Net: a ResNet with :class:`~eca_mm.models.attention.ECALayer` in every block (the paper's Section 3.3).

    Args:
        depth: As for :class:`AttentionResNet`.
        kernel_size: None for Eq. 9 on the block's output channels (5, 5, 5, 7 by stage of ECA-ResNet-50), an odd int
            for every block, or one entry per stage; the authors' weights have (3, 5, 5, 7) at depth 50.
        kwargs: As for :class:`AttentionResNet`, without ``attention``.

    Raises:
        UserError: As :class:`AttentionResNet`; for an even or non-positive kernel size, or a sequence of kernel sizes
            that has not one entry per stage.
    """

    def __init__(self, depth: int, kernel_size: int | None | Sequence[int | None] = None, **kwargs: Any) -> None:
        sizes = per_stage('kernel_size', kernel_size, kwargs.get('num_stages', 4))
        super().__init__(depth, [dict(type='eca_mm.ECALayer', kernel_size=k) for k in sizes], **kwargs)
