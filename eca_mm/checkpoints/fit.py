"""Check that weights fit a model; if not, name the network they belong to."""

from collections.abc import Mapping
from typing import Any

from eca_mm.checkpoints.architecture import Architecture
from eca_mm.checkpoints.families import find_family
from eca_mm.checkpoints.family import Tensors
from eca_mm.checkpoints.keys import find_layout, is_mmdet1, to_ours
from eca_mm.checkpoints.weights import check_fit, check_values
from eca_mm.errors import UserError

# Library of a whole model -> prefixes of the configs of such models.
_CONFIGS = dict(mmdet=('configs/faster', 'configs/mask'), mmpretrain=('configs/imagenet/',))


def check_model(own: Tensors, weights: Tensors, source: str) -> None:
    """Compare a whole model's state dict with the weights of a file.

    Raises:
        UserError: If they do not fit. The message names the file's network and the config for it, if the keys show it; else it
            is that of :func:`check_fit`.
    """
    try:
        check_fit(own, weights, f'{source} does not fit the config')
    except UserError as error:
        raise UserError(another_network(own, weights, source) or str(error)) from error


def check_start(own: Tensors, weights: Tensors, source: str) -> None:
    """Check that a model can start from weights: the backbone's must fit, while heads may differ and then start anew.

    The file may lack parts of the backbone, such as the attention, and have stages that the model lacks.

    Raises:
        UserError: If no weight fits, or one of the backbone is unexpected or of another shape; as :func:`check_model` and
            :func:`check_values`.
    """
    fitting = not is_mmdet1(weights) and {
        key for key, value in weights.items() if key in own and own[key].shape == value.shape
    }
    parts = {_part(key) for key in own if key.startswith('backbone.')}
    compared = {key: value for key, value in weights.items() if _part(key) in parts} if fitting else weights
    try:
        check_fit({key: own[key] for key in compared if key in own}, compared, f'{source} does not fit the config')
    except UserError as error:
        raise UserError(another_network(own, weights, source) or str(error)) from error
    check_values({key: weights[key] for key in fitting or () if own[key].is_floating_point()}, source)


def _part(key: str) -> str:
    return '.'.join(key.split('.')[:2])


def another_network(own: Tensors, weights: Tensors, source: str, config: Mapping[str, Any] | None = None) -> str:
    """Name the network of weights that do not fit a model; '' if it is the model's, or the keys do not show it.

    Args:
        own: State dict of a backbone, a classifier, or a detector.
        weights: By the keys of any library that is known here.
        source: Their file, for the message.
        config: Arguments of their backbone, as far as the file has them.
    """
    convert = f'tools/convert_checkpoint.py {source} NEW.pth'
    if is_mmdet1(weights):
        return f'{source} is a detector of MMDetection 1.x: {convert} makes it one of configs/legacy'
    try:
        here, ours = _network(own, {})
        find_layout(weights)
    except UserError:
        return ''
    try:
        there, theirs = _network(weights, config or {})
    except UserError as error:
        return f'{source} is of no network here: {error}'
    what = f'{source} has the weights of {there.with_article}'
    names = [name for name in there.configs() if ours not in _CONFIGS or name.startswith(_CONFIGS[ours])]
    fits = f'set {there.code}{", as in " * bool(names)}{" or ".join(names)}'
    same = here.config == there.config
    if ours == 'mmdet' != theirs:
        return f'{what}, and of no detector: a training of one starts from them with `cfg_options` backbone_weights={source}'
    if ours == 'mmpretrain' and theirs in ('mmdet', 'backbone'):
        return f'{what}, and of no classifier'
    if ours == 'mmpretrain' != theirs:
        they = 'the authors name' if theirs == 'authors' else f'{theirs} names'
        return f'{what}, as {they} them: {convert} gives them our names{"" if same else f"; for them {fits}"}'
    return '' if same else f'{what}, and the model has {here.with_article}: {fits}'


def _network(weights: Tensors, config: Mapping[str, Any]) -> tuple[Architecture, str]:
    """Identify the network of weights, complete or not, and the library; UserError if it is none of ours."""
    layout = find_layout(weights)
    ours = to_ours(weights, layout).tensors
    return find_family(ours).identify(ours, config), layout.source
