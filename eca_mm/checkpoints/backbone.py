"""Pretrained weights for a backbone: all of them or an error."""

from torch import nn

from eca_mm.checkpoints.files import read_weights
from eca_mm.checkpoints.fit import check_fit, check_values
from eca_mm.checkpoints.keys import find_layout, to_ours
from eca_mm.checkpoints.known import check_kernel_sizes
from eca_mm.errors import UserError


def load_backbone(backbone: nn.Module, source: str) -> None:
    """Loads pretrained weights into a backbone and makes sure that every one of its weights was in the file.

    Understands what ``tools/convert_checkpoint.py`` does: bare backbones, the authors', torchvision's and timm's
    classifiers, and the classifiers and detectors that OpenMMLab trains. It passes over what the backbone has no part for:
    classifiers, necks, heads, and later stages.

    Args:
        backbone: The module to fill, in place.
        source: A file, a URL, a known name such as ``eca_resnet50_k3557``, or ``timm://NAME``, see :func:`read_weights`.

    Raises:
        UserError: As :func:`read_weights`, :func:`find_layout`, :func:`check_kernel_sizes`, :func:`check_fit` and
            :func:`check_values`; also if a config in the file states another style than the backbone has. The backbone
            is then unchanged.
    """
    file = read_weights(source)
    tensors = file.tensors
    what = f'{source} does not fit {type(backbone).__name__}'
    try:
        ours = to_ours(tensors, find_layout(tensors)).tensors
    except UserError as error:
        raise UserError(f'{what}: {error}') from error
    check_kernel_sizes(source, ours)
    parts = {name for name, _ in backbone.named_children()}
    weights = {
        key.removeprefix('backbone.'): value
        for key, value in ours.items()
        if key.startswith('backbone.') and key.split('.')[1] in parts
    }
    check_fit(backbone.state_dict(), weights, what)
    check_values(weights, source)
    style, own = file.config.get('style', 'pytorch'), getattr(backbone, 'style', None)
    bottlenecks = 'layer1.0.conv3.weight' in weights  # whose stride the style moves, and no tensor tells
    if file.config and bottlenecks and style != own:
        raise UserError(f'{what}: its config says style={style!r}, and the backbone has style={own!r}')
    backbone.load_state_dict(weights, strict=False)
