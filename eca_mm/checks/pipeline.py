"""Errors of a dataset's pipeline that name the image, where that is what is wrong."""

from typing import Any

import cv2
from mmengine.dataset import Compose

from eca_mm.checks.images import image_fault
from eca_mm.errors import UserError


class UnreadableImage(UserError):
    """An image that cannot be read, or not be put through the pipeline.

    torch makes the error of a data worker again here, from its traceback, whose last line is the sentence.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence.rstrip().rpartition(f'{type(self).__name__}: ')[2])


def unreadable_image(
    path: Any, error: Exception, annotated: tuple[float, float] | None = None
) -> UnreadableImage | None:
    """The sentence for an error in a pipeline, or None if the image is not what is wrong.

    Args:
        path: The image's file; other things, and addresses on a server, are not looked at.
        error: What the pipeline raised.
        annotated: The width and height that the image should have, where that is known.
    """
    if not isinstance(path, str) or '://' in path:
        return None
    fault = image_fault(path, annotated)
    if fault is None and not isinstance(error, cv2.error):
        return None
    reason = fault[1] if fault else f'OpenCV refuses it ({str(error).strip().splitlines()[-1]})'
    return UnreadableImage(f'image {path} cannot be used: {reason}')


class NamingPipeline(Compose):
    """A pipeline of built transforms whose errors name the image.

    Raises:
        UnreadableImage: For an image that cannot be read, or that OpenCV refuses to resize. Another error of a transform passes.
    """

    def __call__(self, data: Any) -> Any:
        path = data if isinstance(data, str) else data.get('img_path')
        try:
            return super().__call__(data)
        except UnreadableImage:
            raise
        except Exception as error:
            if named := unreadable_image(path, error):
                raise named from None
            raise
