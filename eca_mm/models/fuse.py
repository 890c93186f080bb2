"""A trained network made faster for inference, by what is constant there."""

from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Model = TypeVar('Model', bound=nn.Module)


def fuse_for_inference(model: Model) -> Model:
    """Make every batch norm part of the convolution before it, and compute the gates of attention early.

    ``w' = w g / s``, ``b' = (b - m) g / s + c`` with ``s = sqrt(v + eps)``, BN's running mean m and variance v, weight g and
    bias c. In the blocks of our backbones average pooling then commutes with the last 1x1 convolution, so that a gate comes
    from the convolution's input, a quarter of its output (docs/speed.md). Classifiers and detectors; any device and exporter.

    Changes the model in place, sets it to evaluation mode without gradients, and returns it. Its state dict has other keys
    afterwards: load the weights before.
    """
    return fold_norms(model).requires_grad_(False)


def fold_norms(model: Model) -> Model:
    """Make every batch norm part of the convolution that is registered before it, in place, in evaluation mode.

    As ``mmcv.cnn.fuse_conv_bn``; but what is hooked behind a norm, such as a layer of ``AttentionBehind``, stays there, and a
    norm behind a convolution with such a layer stays as it is.
    """
    model.eval()  # mmpretrain's own returns None
    for parent in list(model.modules()):
        conv = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                conv = name, child
            elif isinstance(child, nn.modules.batchnorm._BatchNorm) and conv is not None:
                if not conv[1]._forward_hooks:
                    parent._modules[conv[0]] = fuse_conv_bn_eval(conv[1], child)
                    parent._modules[name] = folded = nn.Identity()
                    folded._forward_hooks.update(child._forward_hooks)
                conv = None
    return model
