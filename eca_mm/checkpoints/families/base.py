"""What a kind of network must know of itself for its architecture to be told from its weights."""

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Mapping
from operator import attrgetter
from typing import Any

from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.attention import stage_attention, stated_attention
from eca_mm.checkpoints.tables import NETWORKS
from eca_mm.checkpoints.weights import EmptyOnMeta, check_fit
from eca_mm.errors import UserError

Tensors = Mapping[str, Tensor]
# Argument that no tensor tells -> its value unless a config says otherwise, and the others that a backbone here can have.
ConfigOnly = Mapping[str, tuple[Any, Collection[Any]]]


class Family(ABC):
    """A kind of network, and how its weights tell of its architecture.

    Attributes:
        name: In class names and messages.
        features: The attribute of a built backbone, or of a part of it, that is the number of its features, (N, features)
            after pooling; not needed where the classifier is part of it.
        block: Pattern of the keys in blocks: the name of the stage, which of its blocks, and the name in the block, for
            attention the one in the slot.
        by_channels: Whether blocks of one stage may have different numbers of channels.
    """

    name: str
    features: str
    by_channels = False
    block = r'(layer\d)\.(\d+)\.(.+)'

    def recognises(self, weights: Tensors) -> bool:
        """Whether these, by the names of our classifiers, are the weights of such a network, complete or not."""
        return any(re.fullmatch(rf'backbone\.({NETWORKS[self.name]})', key) for key in weights)

    @abstractmethod
    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        """The arguments without the attention, as the tensors of a backbone and the counts of blocks by stage tell.

        Raises:
            UserError: If there is no such network here.
        """

    def config_only(self, told: Mapping[str, Any], config: Mapping[str, Any]) -> ConfigOnly:
        """What else to look for in a config, besides the arguments that the tensors told."""
        return {}

    def notes(self, source: str, named: bool) -> list[str]:
        """What a user should know of weights that come from a library, whether their source is named or only recognised."""
        return []

    def infer(self, weights: Tensors, config: Mapping[str, Any]) -> Architecture:
        """Infers the network from the weights of a classifier of ours, builds it, and compares all names and shapes.

        Raises:
            UserError: As :meth:`tell` and :func:`check_fit`.
        """
        network = self.tell(weights, config)
        with EmptyOnMeta():
            built = MODELS.build(network.config)
            own = {f'backbone.{key}': value for key, value in built.state_dict().items()}
            if network.classes is not None:
                head = nn.Linear(attrgetter(self.features)(built), network.classes).state_dict()
                own |= {f'head.fc.{key}': value for key, value in head.items()}
        check_fit(own, weights, f'the weights do not fit {network.code}')
        return network

    def tell(self, weights: Tensors, config: Mapping[str, Any]) -> Architecture:
        """The network that the weights of a classifier of ours are of, complete or not.

        What no tensor tells is looked for in the config, the backbone's arguments.

        Raises:
            UserError: If no network here has these blocks or arguments, or if the blocks of one stage differ in attention.
        """
        backbone = {key[len('backbone.') :]: value for key, value in weights.items() if key.startswith('backbone.')}
        found: dict[str, dict[str, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
        for key, value in backbone.items():
            if match := re.fullmatch(self.block, key):
                stage, block, name = match.groups()
                found[stage][block][name] = value
        stages = {stage: list(found[stage].values()) for stage in sorted(found)}
        told = self.arguments(backbone, tuple(map(len, stages.values())))
        for key, (usual, others) in self.config_only(told, config).items():
            if (value := config.get(key, usual)) != usual:
                if value not in others:
                    raise UserError(f'its config has {key}={value!r}, and no {self.name} here has')
                told[key] = value

        layers = [stage_attention(*stage, self.by_channels) for stage in stages.items()]
        stated = stated_attention(config, len(layers))
        attention = tuple(layer or other for layer, other in zip(layers, stated, strict=True))
        classes = next((len(value) for key, value in weights.items() if key.startswith('head.fc.')), None)
        return Architecture(self.name, told, attention, classes)


def size_of(tensors: Tensors, key: str, dim: int, default: int) -> int:
    """The tensor's size along a dimension, or a default if there is no such tensor, or no such dimension."""
    return tensors[key].shape[dim] if key in tensors and tensors[key].ndim > dim else default
