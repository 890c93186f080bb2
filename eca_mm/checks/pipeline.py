"""A dataset's pipeline that says which image it could not read, or passes over a few."""

from collections.abc import Iterator
from typing import Any

import cv2
import torch
from mmengine.dataset import Compose
from torch import Tensor

from eca_mm.checks.images import image_fault
from eca_mm.errors import UserError


class UnreadableImage(UserError):
    """An image that cannot be read, or not be put through the pipeline.

    Of a data loader's process torch makes it anew here from its traceback, whose last line is the sentence.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence.rstrip().rpartition(f'{type(self).__name__}: ')[2])


class NamingPipeline(Compose):
    """A pipeline of built transforms whose errors name the image, where that is what is wrong.

    Raises:
        UnreadableImage: For an image that cannot be read, is not of the size that is annotated, or that OpenCV refuses to
            resize. A bug in a transform passes.
    """

    def __init__(self, transforms: Any) -> None:
        super().__init__(transforms)
        self.transforms.insert(1, _check_size)  # behind what reads the image

    def __call__(self, data: Any) -> Any:
        path = data if isinstance(data, str) else data.get('img_path')
        try:
            return super().__call__(data)
        except UnreadableImage:
            raise
        except Exception as error:
            if not isinstance(path, str) or '://' in path:
                raise
            fault = image_fault(path)
            if fault is None and not isinstance(error, cv2.error):
                raise
            reason = fault[1] if fault else f'OpenCV refuses it ({str(error).strip().splitlines()[-1]})'
        raise UnreadableImage(f'image {path} cannot be used: {reason}')


class GuardedPipeline(NamingPipeline):
    """One that passes over a few images: it gives None, and an mmengine dataset in training takes a random other one.

    Args:
        transforms: Built ones.
        passed_over: Which images were passed over, (images,) in shared memory: a data loader has processes.
        all_parts: The same of all datasets together.
        most: How many of them may be.
    """

    def __init__(self, transforms: list[Any], passed_over: Tensor, all_parts: Tensor, most: int) -> None:
        super().__init__(transforms)
        self.passed_over, self.all_parts, self.most = passed_over, all_parts, most

    def __call__(self, data: Any) -> Any:
        index = data['sample_idx']
        try:
            return super().__call__(data)
        except UnreadableImage as error:
            self.passed_over[index] = True
            if int(self.all_parts.sum()) <= self.most:
                return None
            also = f', after {self.most} that --skip-unreadable allowed' if self.most else ''
            raise UnreadableImage(
                f'{error}{also}; tools/doctor.py CONFIG finds all such images, and --skip-unreadable N goes on past at most N '
                'in training'
            ) from None


def guard_images(dataset: Any, most: int = 0) -> None:
    """Guards the pipelines of a dataset, and of those in it.

    Args:
        dataset: An mmengine dataset, or a wrapper of some.
        most: How many images may be passed over, in training; what is tested has no other one in their place.
    """
    found = [
        d for d in parts(dataset) if isinstance(getattr(d, 'pipeline', None), Compose) and hasattr(d, 'get_data_info')
    ]
    all_parts = torch.zeros(sum(map(len, found)), dtype=torch.bool).share_memory_()
    for part, share in zip(found, all_parts.split([len(d) for d in found]), strict=True):
        part.pipeline = GuardedPipeline(part.pipeline.transforms, share, all_parts, most)


def passed_over(dataset: Any) -> list[str]:
    """The paths of the images that guarded pipelines passed over."""
    return [
        part.get_data_info(int(i))['img_path']
        for part in parts(dataset)
        if isinstance(getattr(part, 'pipeline', None), GuardedPipeline)
        for i in part.pipeline.passed_over.nonzero()
    ]


def parts(dataset: Any) -> Iterator[Any]:
    """A dataset and, of RepeatDataset, ConcatDataset and their like, those that it holds."""
    yield dataset
    for inner in [*getattr(dataset, 'datasets', []), getattr(dataset, 'dataset', None)]:
        if inner is not None:
            yield from parts(inner)


def _check_size(data: dict[str, Any]) -> dict[str, Any]:
    """Boxes and masks of an image of another size are in the wrong place; turned by its EXIF, for instance."""
    annotated, shape = (data.get('height'), data.get('width')), data.get('ori_shape')
    if shape and all(annotated) and tuple(shape) != annotated:
        sizes = f'it is {shape[1]} x {shape[0]}, annotated {annotated[1]} x {annotated[0]}'
        raise UnreadableImage(f'image {data.get("img_path")} cannot be used: {sizes}')
    return data
