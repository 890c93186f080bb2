"""Base class of network families: their weights' names, and the inference of an architecture from a state dict."""

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from operator import attrgetter
from typing import Any, ClassVar

from mmengine.registry import MODELS
from torch import Tensor, nn

from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.attention import attention_in_config, stage_attention
from eca_mm.checkpoints.layout import Layout, Pairs, Target
from eca_mm.checkpoints.weights import EmptyOnMeta, check_fit
from eca_mm.errors import UserError

Tensors = Mapping[str, Tensor]
Targets = Mapping[str, Callable[[Architecture], Target]]
# Argument that no tensor shows -> its default, and the other values that a backbone here supports.
ConfigOnly = Mapping[str, tuple[Any, Collection[Any]]]

OURS: Targets = dict(
    mmpretrain=lambda network: Target(network.code, 'head.fc.', 'backbone.'),
    backbone=lambda network: Target(network.code, None),
)


class Family(ABC):
    """A kind of network: the names of its weights here and elsewhere, and the arguments that follow from them.

    Attributes:
        name: Its name in class names and messages.
        pattern: Pattern of keys that every backbone of the family has here.
        block: Pattern of the keys in blocks: stage, number of the block, name in the block (for attention, in its slot).
        by_channels: Whether blocks of one stage may have different numbers of channels.
        features: Attribute of a built backbone, or of its submodule: the number of its features after pooling. Not needed
            where the classifier is part of the backbone.
        layouts: Layouts of other libraries. A network that OpenMMLab's libraries have needs none for them.
        key_maps: A pattern of keys that only another library has -> the pairs to apply if a key matches.
        targets: Library -> function that returns the :class:`Target` of a network there.
        classifier_config: Config to inherit for a classifier; '' without one.
        detector_stages: ``out_indices`` at strides 4, 8, 16 and 32; empty for backbones that detectors rarely use.
    """

    name: str
    pattern: str
    block = r'(layer\d)\.(\d+)\.(.+)'
    by_channels = False
    features: str
    layouts: tuple[Layout, ...] = ()
    key_maps: tuple[tuple[str, Pairs], ...] = ()
    targets: ClassVar[Targets] = {}
    classifier_config = ''
    detector_stages: tuple[int, ...] = ()

    def recognises(self, weights: Tensors) -> bool:
        """Check whether weights by our classifiers' names are of this family, complete or not."""
        return any(re.fullmatch(rf'backbone\.({self.pattern})', key) for key in weights)

    @abstractmethod
    def arguments(self, backbone: Tensors, counts: tuple[int, ...]) -> dict[str, Any]:
        """Infer the backbone's arguments, without the attention, from its tensors and its block counts.

        Raises:
            UserError: If no backbone here has them.
        """

    def config_only(self, arguments: Mapping[str, Any], config: Mapping[str, Any]) -> ConfigOnly:
        """Name the arguments that only a config shows, given those that were inferred."""
        return {}

    def notes(self, source: str, named: bool) -> list[str]:
        """Say what a user should know of weights from a library; ``named`` if the user or the file names the network."""
        return []

    def target(self, network: Architecture, library: str) -> Target:
        """Name the weights of a network as a library does.

        Raises:
            UserError: If the library has no such network, or none of this family is converted to it.
        """
        known = {**OURS, **self.targets}
        if library not in known:
            raise UserError(f'{self.name} is not converted to {library}, only to {", ".join(known)}')
        return known[library](network)

    def infer(self, weights: Tensors, config: Mapping[str, Any]) -> Architecture:
        """Identify the network, build it, and compare all names and shapes.

        Raises:
            UserError: As :meth:`identify` and :func:`check_fit`.
        """
        network = self.identify(weights, config)
        with EmptyOnMeta():
            built = MODELS.build(network.config)
            own = {f'backbone.{key}': value for key, value in built.state_dict().items()}
            if network.classes is not None:
                head = nn.Linear(attrgetter(self.features)(built), network.classes).state_dict()
                own |= {f'head.fc.{key}': value for key, value in head.items()}
        check_fit(own, weights, f'the weights do not fit {network.code}')
        return network

    def identify(self, weights: Tensors, config: Mapping[str, Any]) -> Architecture:
        """Infer the network from weights by our classifiers' names, complete or not, and from the backbone's config.

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
        arguments = self.arguments(backbone, tuple(map(len, stages.values())))
        for key, (default, supported) in self.config_only(arguments, config).items():
            if (value := config.get(key, default)) != default:
                if value not in supported:
                    raise UserError(f'its config has {key}={value!r}, and no {self.name} here has')
                arguments[key] = value

        inferred = [stage_attention(*stage, self.by_channels) for stage in stages.items()]
        configured = attention_in_config(config, len(inferred))
        attention = tuple(layer or other for layer, other in zip(inferred, configured, strict=True))
        classes = next((len(value) for key, value in weights.items() if key.startswith('head.fc.')), None)
        return Architecture(self.name, arguments, attention, classes)


def size_of(tensors: Tensors, key: str, dim: int, default: int) -> int:
    """Return the tensor's size along a dimension, or a default if there is no such tensor or dimension."""
    return tensors[key].shape[dim] if key in tensors and tensors[key].ndim > dim else default
