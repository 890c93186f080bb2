"""Class activation maps: where in an image a network's prediction comes from."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from eca_mm.engine.config.parts import is_classifier
from eca_mm.errors import UserError


class Scores(nn.Module):
    """What a map explains, for a batch of one image: the score of a classifier's class, of a detector's boxes.

    Takes normalised images (1, 3, H, W) and returns a tensor (1,): the greatest logit, or the sum of the scores of all boxes
    that have at least ``threshold``, or of the best one if none has.
    """

    def __init__(self, model: Any, samples: Any, threshold: float) -> None:
        super().__init__()
        self.model, self.samples, self.threshold = model, samples, threshold

    def forward(self, images: Tensor) -> Tensor:
        if is_classifier(self.model.cfg):
            return self.model(images, mode='tensor').amax(1)
        scores = self.model(images, self.samples, mode='predict')[0].pred_instances.scores
        if not len(scores):
            return images.sum()[None] * 0  # nothing is there to be explained
        return scores[scores >= min(self.threshold, scores.max().item())].sum()[None]


def draw_cam(model: nn.Module, layer: str, batch: dict[str, Any], threshold: float) -> np.ndarray:
    """The Grad-CAM (Selvaraju et al., ICCV 2017) of a layer over the image as the network sees it, by pytorch-grad-cam.

    With a layer's features A (C, H, W) and the score s of :class:`Scores` the map is ReLU(sum_c w_c A_c), w_c the mean of
    ds/dA_c over the positions.

    Args:
        model: From :func:`eca_mm.load_model`.
        layer: The name of a module whose output is (N, C, H, W).
        batch: An image as the pipeline gives it.
        threshold: Least score of a box that counts.

    Returns:
        The picture (H, W, 3), uint8, BGR; all zeros of the map where nothing was detected.

    Raises:
        UserError: Without the package grad-cam; if there is no such layer, or its output is no features.
    """
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.image import show_cam_on_image
    except ImportError as error:
        raise UserError(f'class activation maps need grad-cam ({error}): pip install "eca-net-mm[cam]"') from error
    modules, calls = dict(model.named_modules()), []
    if not layer or layer not in modules:
        parents = [layer.rsplit('.', i)[0] for i in range(1, layer.count('.') + 1)]
        parent = next((name for name in parents if name in modules), '')
        children = [f'{parent}.{name}'.strip('.') for name, _ in modules[parent].named_children()]
        raise UserError(f'the model has no layer {layer!r}: there are {", ".join(children)}')

    def check(*call: Any) -> None:
        calls.append(layer)
        shape = tuple(getattr(call[-1], 'shape', ()))
        if len(shape) != 4 or shape[0] != 1 or len(calls) > 1:
            raise UserError(
                f'{layer} gives no features (1, C, H, W) of a whole image, once: name a layer of the backbone'
            )

    data = model.data_preprocessor(batch, False)  # type: ignore[operator]
    image, gradients = batch['inputs'][0], {p: p.grad for p in model.parameters()}
    handle = modules[layer].register_forward_hook(check)
    try:
        with GradCAM(Scores(model, data.get('data_samples'), threshold), [modules[layer]]) as cam:
            cam.compute_input_gradient = True  # for layers whose weights are frozen
            heat = cam(data['inputs'], [lambda score: score])[0]
    finally:
        handle.remove()
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
    height, width = image.shape[1:]
    return show_cam_on_image(np.float32(image.permute(1, 2, 0).cpu().numpy()) / 255, heat[:height, :width])
