"""What a kind of network must know of itself for its weights to be converted."""

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.checkpoints import check_fit
from eca_mm.checkpoints.keys import Pairs
from eca_mm.convert.attention import arguments, has_se_var1, source_code, stage_attention
from eca_mm.errors import UserError
from eca_mm.models.backbones.common import Attention

Tensors = Mapping[str, Tensor]
# Argument that no tensor tells -> its value unless a config says otherwise, and the others that a backbone here can have.
ConfigOnly = Mapping[str, tuple[Any, Collection[Any]]]


@dataclass(frozen=True)
class Architecture:
    """A backbone, registered as ``Attention{family}`` and ``ECA{family}``, and the number of classes of its classifier.

    Its arguments are without the attention, which is a config, or None, stage by stage.
    """

    family: str
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
    def config(self) -> dict[str, Any]:
        """Config of the backbone."""
        if self.kernel_sizes:
            return dict(type=f'eca_mm.ECA{self.family}', **self.arguments, kernel_size=self.kernel_sizes)
        first, *others = self.attention
        attention = first if all(layer == first for layer in others) else self.attention
        slot = {} if attention is None else dict(attention=attention)
        return dict(type=f'eca_mm.Attention{self.family}', **self.arguments, **slot)

    @property
    def code(self) -> str:
        """The line of a config that builds the backbone: ``backbone=dict(type='eca_mm.AttentionResNet', depth=18)``."""
        return f'backbone={source_code(self.config)}'

    def plain_classifier(self, library: str, others: Mapping[str, Any]) -> int:
        """The number of classes; UserError for attention, no classifier or other arguments, which a library has not."""
        if self.layers:
            raise UserError(f'{library} has no {self.family} with {", ".join(self.layers)}, only plain ones')
        if self.classes is None:
            raise UserError(f'there is no classifier among these weights, and {library} has no network without one')
        self.refuse(library, others)
        return self.classes

    def refuse(self, library: str, others: Mapping[str, Any]) -> None:
        """UserError if there are arguments that a library has no counterpart for."""
        if others:
            raise UserError(f'{library} has no {self.family} with {arguments(others)}')


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

    Attributes:
        name: In class names and messages.
        features: The attribute of a built backbone that is its number of features, (N, features) after pooling.
        block: Pattern of the keys in blocks: number of the stage, from 1, of the block in it, from 0, and the name in the
            block, for attention the one in the slot.
    """

    name: str
    features: str
    block = r'layer(\d+)\.(\d+)\.(.+)'

    @abstractmethod
    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        """The arguments without the attention, as the tensors of a backbone and the counts of blocks by stage tell.

        Raises:
            UserError: If there is no such network here.
        """

    def config_only(self, told: Mapping[str, Any], config: Mapping[str, Any]) -> ConfigOnly:
        """What else to look for in a config, besides the arguments that the tensors told."""
        return {}

    @property
    def targets(self) -> dict[str, Callable[[Architecture], Target]]:
        """Library -> what it calls a network of this kind; a UserError if it has none like it."""
        return dict(
            mmpretrain=lambda network: Target(network.code, 'head.fc.', 'backbone.'),
            backbone=lambda network: Target(network.code, None),
        )

    def infer(self, weights: Tensors, config: Mapping[str, Any]) -> Architecture:
        """Infers the network from the weights of a classifier of ours, builds it, and compares all names and shapes.

        What no tensor tells is looked for in the config, the backbone's arguments.

        Raises:
            UserError: If no network here has these blocks or arguments, if the blocks of one stage differ in attention, or
                as :func:`check_fit`.
        """
        backbone = {key[len('backbone.') :]: value for key, value in weights.items() if key.startswith('backbone.')}
        found: dict[int, dict[str, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
        for key, value in backbone.items():
            if match := re.fullmatch(self.block, key):
                stage, block, name = match.groups()
                found[int(stage)][block][name] = value
        stages = {f'layer{n}': list(found[n].values()) for n in range(1, max(found, default=0) + 1)}
        told = self.arguments(backbone, tuple(map(len, stages.values())))
        for key, (usual, others) in self.config_only(told, config).items():
            if (value := config.get(key, usual)) != usual:
                if value not in others:
                    raise UserError(f'its config has {key}={value!r}, and no {self.name} here has')
                told[key] = value

        layers = [stage_attention(*stage) for stage in stages.items()]
        attention = tuple(
            dict(type='eca_mm.SEVar1Layer') if hidden and layer is None else layer
            for layer, hidden in zip(layers, has_se_var1(config, len(layers)), strict=True)
        )
        classes = next((len(value) for key, value in weights.items() if key.startswith('head.fc.')), None)
        network = Architecture(self.name, told, attention, classes)

        built = MODELS.build(network.config)
        own = {f'backbone.{key}': value for key, value in built.state_dict().items()}
        if classes is not None:
            classifier = nn.Linear(getattr(built, self.features), classes).state_dict()
            own |= {f'head.fc.{key}': value for key, value in classifier.items()}
        check_fit(own, weights, f'the weights do not fit {network.code}')
        return network


def size_of(tensors: Tensors, key: str, dim: int, default: int) -> int:
    """The tensor's size along a dimension, or a default if there is no such tensor."""
    return tensors[key].shape[dim] if key in tensors else default
