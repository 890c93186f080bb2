"""The network that weights belong to: as a config, as source code, and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.registry import MODELS

from eca_mm.checkpoints.attention import Attention, arguments, source_code
from eca_mm.checkpoints.known import KNOWN
from eca_mm.errors import UserError
from eca_mm.paths import CONFIGS


@dataclass(frozen=True)
class Architecture:
    """A backbone with the number of its classifier's classes.

    Attributes:
        family: Name of its family: it is registered as ``Attention{family}``, and some as ``ECA{family}`` too.
        arguments: Without the attention.
        attention: The layer's config, or None, of each stage.
        classes: None without a classifier.
    """

    family: str
    arguments: dict[str, Any]
    attention: tuple[Attention, ...]
    classes: int | None

    @property
    def kernel_sizes(self) -> tuple[int, ...] | None:
        """ECA's kernel size of each stage; None unless every stage has ECA of one size."""
        layers = [layer for layer in self.attention if layer and layer['type'] == 'eca_mm.ECALayer']
        sizes = [layer['kernel_size'] for layer in layers if 'kernel_size' in layer]
        return tuple(sizes) if len(sizes) == len(self.attention) else None

    @property
    def layers(self) -> list[str]:
        """The types of its attention layers, without repetition: ``['ECALayer']``."""
        return sorted({layer['type'].removeprefix('eca_mm.') for layer in self.attention if layer})

    @property
    def config(self) -> dict[str, Any]:
        """Config of the backbone."""
        if self.kernel_sizes and f'ECA{self.family}' in MODELS.module_dict:
            return dict(type=f'eca_mm.ECA{self.family}', **self.arguments, kernel_size=self.kernel_sizes)
        first, *others = self.attention
        attention = first if all(layer == first for layer in others) else self.attention
        slot = {} if attention is None else dict(attention=attention)
        return dict(type=f'eca_mm.Attention{self.family}', **self.arguments, **slot)

    @property
    def code(self) -> str:
        """The argument that builds the backbone in a config: ``backbone=dict(type='eca_mm.AttentionResNet', depth=18)``."""
        return f'backbone={source_code(self.config)}'

    def __str__(self) -> str:
        """Name the network.

        >>> eca = dict(type='eca_mm.ECALayer', kernel_size=5)
        >>> str(Architecture('ResNet', dict(depth=50, deep_stem=True, avg_down=True), (eca,) * 4, 1000))
        'ResNet-50-D with ECA, k = 5, 5, 5, 5'
        """
        name, others = self._name()
        parts = [arguments(others)] if others else []
        if self.kernel_sizes:
            parts.append(f'ECA, k = {", ".join(map(str, self.kernel_sizes))}')
        elif self.layers:
            names = ' and '.join(layer.removesuffix('Layer') for layer in self.layers)
            parts.append(f'{names}{" in some stages" * (None in self.attention)}')
        return f'{name}{" with " * bool(parts)}{" and ".join(parts)}'

    @property
    def with_article(self) -> str:
        """'a ResNet-18', 'an InceptionV3'."""
        return f'{"an" if self.family[0] in "AEIOU" else "a"} {self}'

    def _name(self) -> tuple[str, dict[str, Any]]:
        """Return its usual name, and the arguments that the name does not express."""
        others = dict(self.arguments)
        name = self.family
        for key in ('depth', 'arch'):
            if isinstance(others.get(key), int | str):
                name += f'-{others.pop(key)}'
        if others.get('deep_stem') and others.get('avg_down'):
            name += '-T' if others.pop('deep_stem') == 'tiered' else '-D'
            del others['avg_down']
        return name, others

    def configs(self) -> list[str]:
        """List the detectors and classifiers in configs/ that have this backbone."""
        (name, others), depth = self._name(), self.arguments.get('depth', self.arguments.get('arch'))
        k = ''.join(map(str, self.kernel_sizes or ()))
        stem = name[-1].lower() if name.endswith(('-D', '-T')) else ''
        prefixes = {'': '', 'ECALayer': 'eca_', 'SELayer': 'se_'}
        usual = (
            self.attention[0] in (None, dict(type='eca_mm.SELayer', ratio=16))
            and len(set(map(str, self.attention))) == 1
        )
        if k:  # the kernel sizes of the authors, and Eq. 9's
            usual = k == '5557' if stem else f'eca_resnet{depth}_k{k}' in KNOWN
        if others or depth is None or not usual:
            return []
        prefix = prefixes[''.join(self.layers)]
        detectors = CONFIGS.glob(f'*_rcnn_{prefix}r{depth}{stem}_fpn_1x.py') if self.family == 'ResNet' else ()
        files = [*sorted(detectors), CONFIGS / f'imagenet/{prefix}{self.family.lower()}{depth}{stem}.py']
        return [f'configs/{file.relative_to(CONFIGS)}' for file in files if file.is_file()]

    def plain_classes(self, library: str, others: Mapping[str, Any]) -> int:
        """Return the number of classes for a library that has plain classifiers alone.

        Raises:
            UserError: As :meth:`check_plain`; without a classifier.
        """
        self.check_plain(library, others)
        if self.classes is None:
            raise UserError(f'there is no classifier among these weights, and {library} has no network without one')
        return self.classes

    def check_plain(self, library: str, others: Mapping[str, Any]) -> None:
        """Raise UserError if there is attention, or arguments without a counterpart in the library."""
        if self.layers:
            raise UserError(f'{library} has no {self.family} with {", ".join(self.layers)}, only plain ones')
        self.check_arguments(library, others)

    def check_arguments(self, library: str, others: Mapping[str, Any]) -> None:
        """Raise UserError if there are arguments without a counterpart in the library."""
        if others:
            raise UserError(f'{library} has no {self.family} with {arguments(others)}')
