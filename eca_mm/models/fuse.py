"""A trained network made faster for inference, by what is constant there."""

from typing import TypeVar

from torch import nn

Model = TypeVar('Model', bound=nn.Module)


def fuse_for_inference(model: Model) -> Model:
    """Makes every batch norm part of the convolution before it, and computes the gates of attention early.

    ``w' = w g / s``, ``b' = (b - m) g / s + c`` with ``s = sqrt(v + eps)``, BN's running mean m and variance v, weight g and
    bias c. In the blocks of our backbones average pooling then commutes with the last 1x1 convolution, so that a gate comes
    from the convolution's input, a quarter of its output (docs/speed.md). Classifiers and detectors; any device and exporter.

    Changes the model in place, sets it to evaluation mode without gradients, and returns it. Its state dict has other keys
    afterwards: load the weights before.
    """
    from mmcv.cnn import fuse_conv_bn

    fuse_conv_bn(model.eval()).requires_grad_(False)
    for module in model.modules():
        if hasattr(module, 'folded'):  # one of our blocks, whose class needs mmpretrain
            setattr(module, 'folded', True)  # noqa: B010  which a Module's type does not know
    return model
