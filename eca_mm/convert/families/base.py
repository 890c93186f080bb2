"""What a kind of network must know of itself for its weights to be converted."""

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.checkpoints import check_fit
from eca_mm.checkpoints.keys import NETWORKS, Pairs
from eca_mm.convert.attention import has_se_var1, stage_attention
from eca_mm.convert.source_code import arguments, source_code
from eca_mm.errors import UserError
from eca_mm.models.backbones.common import Attention

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Architecture:
    """A backbone of this package, and the number of classes of its classifier.

    Attributes:
        family: The kind of network.
        arguments: Those of the backbone besides the attention.
        attention: Config of the attention layer, or None, stage by stage.
        classes: Number of classes; None without a classifier.
    """

    family: 'Family'
    arguments: dict[str, Any]
    attention: tuple[Attention, ...]
    classes: int | None

    @property
    def kernel_sizes(self) -> tuple[int, ...] | None:
        """ECA's kernel size stage by stage; None for a network that has not ECA in every stage."""
        layers = [layer for layer in self.attention if layer and layer['type'] == 'eca_mm.ECALayer']
        return tuple(layer['kernel_size'] for layer in layers) if len(layers) == len(self.attention) else None

    @property
    def layers(self) -> list[str]:
        """The types of its attention layers, each once: ``['ECALayer']``."""
        return sorted({layer['type'].removeprefix('eca_mm.') for layer in self.attention if layer})

    @property
    def code(self) -> str:
        """The line of a config that builds the backbone: ``backbone=dict(type='eca_mm.AttentionResNet', depth=18)``."""
        return f'backbone={source_code(self.family.config(self))}'


class Target(NamedTuple):
    """What a library calls the weights of a network of ours.

    Attributes:
        code: The line that builds the network there.
        classifier: What the keys of its classifier begin with, ``head.fc.`` here; None to leave the classifier out.
        backbone: The same of its backbone.
        pairs: (theirs, ours) for keys that differ in more, see :mod:`eca_mm.checkpoints.keys`.
        convolutions: A part of the keys of its 1x1 convolutions that are linear layers here; '' for none.
    """

    code: str
    classifier: str | None
    backbone: str = ''
    pairs: Pairs = ()
    convolutions: str = ''


class Family(ABC):
    """A kind of network: how its weights tell of its architecture, and what other libraries call it.

    Its backbones here are registered as ``Attention{name}`` and ``ECA{name}``; another one overrides :meth:`config`. The
    methods take the weights of a backbone, by the names in it.

    Attributes:
        name: In class names and messages.
        block: Pattern of the keys in blocks: number of the stage, from 1, of the block in it, from 0, and the name in the
            block, for attention the one in the slot.
        config_defaults: Arguments that no tensor tells, as libraries set them unless told otherwise.
    """

    name: str
    block = r'layer(\d+)\.(\d+)\.(.+)'
    config_defaults: Mapping[str, Any] = {}

    def recognises(self, backbone: Tensors) -> bool:
        return any(re.fullmatch(NETWORKS[self.name], key) for key in backbone)

    @abstractmethod
    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        """The backbone's arguments as its tensors tell, without the attention.

        Args:
            counts: Number of blocks in each stage.

        Raises:
            UserError: If there is no such network here.
        """

    @abstractmethod
    def classifier_inputs(self, backbone: Any) -> int:
        """Number of features of a backbone that was built, (N, features) after pooling."""

    def fits(self, key: str, value: Any) -> bool:
        """Whether a backbone here can have this value of an argument in ``config_defaults`` instead of the default."""
        return False

    def config_arguments(self, config: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
        """The backbone's arguments that only a config tells, those that are not the usual ones.

        Args:
            config: From :func:`~eca_mm.checkpoints.config_text.backbone_config`.
            told: The arguments that the tensors tell.

        Raises:
            UserError: If no backbone here computes the same.
        """
        unusual = {key: config[key] for key, usual in self.config_defaults.items() if config.get(key, usual) != usual}
        for key, value in unusual.items():
            if not self.fits(key, value):
                raise UserError(f'its config has {key}={value!r}, and no {self.name} here has')
        return unusual

    def config(self, network: Architecture) -> dict[str, Any]:
        """Config of the backbone."""
        if network.kernel_sizes:
            return dict(type=f'eca_mm.ECA{self.name}', **network.arguments, kernel_size=network.kernel_sizes)
        first, *others = network.attention
        attention = first if all(layer == first for layer in others) else network.attention
        slot = {} if attention is None else dict(attention=attention)
        return dict(type=f'eca_mm.Attention{self.name}', **network.arguments, **slot)

    @property
    def targets(self) -> dict[str, Callable[[Architecture], Target]]:
        """Library -> what it calls a network of this kind; a UserError if it has none like it."""
        return dict(
            mmpretrain=lambda network: Target(network.code, 'head.fc.', 'backbone.'),
            backbone=lambda network: Target(network.code, None),
        )

    def infer(self, weights: Tensors, config: Mapping[str, Any]) -> Architecture:
        """Infers the network, builds it, and compares all names and shapes.

        Args:
            weights: By the names of our classifiers.
            config: The backbone's arguments in a config, for what no tensor tells.

        Raises:
            UserError: If no network here has these blocks or arguments, if the blocks of one stage differ in attention, if
                the classifier has no classes, or as :func:`check_fit`.
        """
        backbone = {
            key.removeprefix('backbone.'): value for key, value in weights.items() if key.startswith('backbone.')
        }
        stages = self._stages(backbone)
        told = self.arguments(backbone, tuple(len(blocks) for blocks in stages.values()))
        layers = [stage_attention(f'layer{stage}', blocks) for stage, blocks in stages.items()]
        se_var1 = has_se_var1(config, len(layers))
        attention = tuple(
            dict(type='eca_mm.SEVar1Layer') if hidden and layer is None else layer
            for layer, hidden in zip(layers, se_var1, strict=True)
        )
        classifier = [value for key, value in weights.items() if key.startswith('head.fc.')]
        classes = len(classifier[0]) if classifier and classifier[0].ndim else None
        if classes == 0:
            raise UserError('the classifier has no classes: its weight has 0 rows')
        network = Architecture(self, told | self.config_arguments(config, told), attention, classes)
        self._check(network, weights)
        return network

    def _stages(self, backbone: Tensors) -> dict[int, list[dict[str, Tensor]]]:
        """Stage -> the weights of each of its blocks."""
        found: dict[int, dict[int, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
        for key, value in backbone.items():
            if match := re.fullmatch(self.block, key):
                stage, block, name = match.groups()
                found[int(stage)][int(block)][name] = value
        for stage, blocks in found.items():
            if gaps := set(range(max(blocks))) - blocks.keys():
                raise UserError(
                    f'block layer{stage}.{min(gaps)} is missing, although there is a layer{stage}.{max(blocks)}'
                )
        return {stage: list(found[stage].values()) for stage in range(1, max(found, default=0) + 1)}

    def _check(self, network: Architecture, weights: Tensors) -> None:
        backbone = MODELS.build(self.config(network))
        own = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
        if network.classes is not None:
            classifier = nn.Linear(self.classifier_inputs(backbone), network.classes)
            own |= {f'head.fc.{key}': value for key, value in classifier.state_dict().items()}
        check_fit(own, weights, f'the weights do not fit {network.code}')

    def plain_classifier(self, network: Architecture, library: str) -> int:
        """The number of classes of a network without attention, with a classifier.

        Raises:
            UserError: If it is none, with the library that has no others.
        """
        if network.layers:
            raise UserError(f'{library} has no {self.name} with {", ".join(network.layers)}, only plain ones')
        if network.classes is None:
            raise UserError(f'there is no classifier among these weights, and {library} has no network without one')
        return network.classes

    def refuse_others(self, others: Mapping[str, Any], library: str) -> None:
        """UserError if there are arguments that a library has no counterpart for."""
        if others:
            raise UserError(f'{library} has no {self.name} with {arguments(others)}')


def size_of(tensors: Tensors, key: str, dim: int, default: int) -> int:
    """The tensor's size along a dimension, or a default if there is no such tensor or dimension."""
    return tensors[key].shape[dim] if key in tensors and tensors[key].ndim > dim else default


def listed(values: Any) -> str:
    """
    >>> listed((3, 4, 6, 3))
    '3, 4, 6, 3'
    """
    return ', '.join(map(str, values))
