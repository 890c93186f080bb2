"""Whether an exported detector finds what PyTorch does, in the same pictures."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from eca_mm.datasets.shapes import draw_image
from eca_mm.engine import find_images
from eca_mm.engine.config.parts import data_root, datasets
from eca_mm.engine.inferencers import make_inferencer, read_batch
from eca_mm.errors import UserError
from eca_mm.export.detectors.network import ExportedDetector
from eca_mm.export.detectors.preprocessing import Facts
from eca_mm.onnx_detector import paste_mask, preprocess, read_image

PICTURES = 8  # that are compared where none are named
PIXELS, SCORE = 0.05, 1e-4  # the same detection: greatest differences of its box and score
FLIPPED = 0.01  # of all detections may have no partner: NMS and thresholds are decided by the last digit now and then
MASK_PIXELS = 0.001  # of the masks' area may differ

Found = dict[str, np.ndarray]  # boxes (N, 4), scores (N,), labels (N,) and perhaps masks (N, H, W) of bool
Run = Callable[[Sequence[Path], float], list[Found]]  # an exported detector: files of a batch, least score


class Agreement(NamedTuple):
    """Detections in PyTorch and in the exported file."""

    images: int
    pytorch: int
    exported: int
    equal: int  # pairs of the same class with equal boxes and scores
    pixels: float  # the greatest difference of a box of them
    score: float
    mask_pixels: float | None  # that differ, as a part of the masks' area
    threshold: float  # least score of the detections that were compared

    @property
    def holds(self) -> bool:
        without_partner = max(self.pytorch, self.exported) - self.equal
        return without_partner <= FLIPPED * self.pytorch and (self.mask_pixels or 0) <= MASK_PIXELS

    def __str__(self) -> str:
        flips = [
            f'{count - self.equal} only in {where}'
            for count, where in ((self.pytorch, 'PyTorch'), (self.exported, 'the file'))
            if count > self.equal
        ]
        masks = '' if self.mask_pixels is None else f', in {100 * self.mask_pixels:.3f} % of the masks'
        return (
            f'{self.pytorch} detections with a score over {self.threshold:g} in {self.images} images: {self.equal} are equal, '
            f'up to {self.pixels:.1e} pixels and {self.score:.1e} in score{masks}{"; " if flips else ""}{", ".join(flips)}'
        )


def proof_images(cfg: Any, named: Sequence[str | Path] | None, folder: Path) -> list[Path]:
    """Pictures to compare on: those that are named, or the first of the config's test images, or drawn ones.

    Args:
        cfg: The detector's config.
        named: Images, or folders of them.
        folder: Where drawn ones go.

    Raises:
        UserError: If one that is named is missing or cannot be read.
    """
    if named:
        files = [file for path in named for file in find_images(path)]
        for file in files:  # before minutes of export
            try:
                read_image(file)
            except ValueError as error:
                raise UserError(str(error)) from error
        return files
    for dataset in datasets(cfg.get('test_dataloader')):
        prefix = dataset.get('data_prefix') or {}
        images = data_root(dataset) / str(prefix.get('img', '') if isinstance(prefix, dict) else prefix)
        if images.is_dir() and prefix and (found := sorted(images.glob('*.[jp][pn]*g'))):
            return found[:PICTURES]
    files = [folder / f'{i}.png' for i in range(PICTURES)]
    for i, file in enumerate(files):
        cv2.imwrite(str(file), draw_image(np.random.default_rng(i))[0])
    return files


def compare(
    model: Any, network: ExportedDetector, run: Run, files: Sequence[Path], facts: Facts, batch: int
) -> Agreement:
    """Compare what PyTorch and the file find in pictures.

    Where PyTorch finds nothing, both run with lower thresholds, by halves, since agreement in nothing proves nothing.

    Raises:
        UserError: If PyTorch finds nothing at all.
    """
    groups = list(_groups(files, batch))
    threshold = network.score_threshold
    for _ in range(8):
        with _least_score(network, threshold):
            expected = [found for group in groups for found in reference(model, group, facts)]
        if any(len(found['scores']) for found in expected) or threshold <= 0:
            break
        threshold /= 2
    got = [found for group in groups for found in run(group, threshold)]
    pairs = [match(a, b) for a, b in zip(expected, got, strict=True)]
    if not any(len(found['scores']) for found in expected):
        raise UserError(
            f'PyTorch detects nothing in {len(expected)} images, so that agreement would prove nothing: name other '
            'images, or a checkpoint that is trained'
        )
    areas = [pair.mask_area for pair in pairs]
    return Agreement(
        len(expected),
        sum(len(found['scores']) for found in expected),
        sum(len(found['scores']) for found in got),
        sum(pair.equal for pair in pairs),
        max(pair.pixels for pair in pairs),
        max(pair.score for pair in pairs),
        sum(pair.mask_pixels for pair in pairs) / max(sum(areas), 1) if 'masks' in expected[0] else None,
        threshold,
    )


class Pairs(NamedTuple):
    """Equal detections in an image."""

    equal: int
    pixels: float
    score: float
    mask_pixels: int  # that differ
    mask_area: int


def match(expected: Found, got: Found) -> Pairs:
    """Pair detections of the same class whose boxes and scores are equal, each with one at most."""
    free = np.ones(len(got['scores']), bool)
    equal, pixels, score, mask_pixels, mask_area = 0, 0.0, 0.0, 0, 0
    for i, box in enumerate(expected['boxes']):
        boxes = np.abs(got['boxes'] - box).max(1, initial=0)
        scores = np.abs(got['scores'] - expected['scores'][i])
        suits = free & (got['labels'] == expected['labels'][i]) & (boxes <= PIXELS) & (scores <= SCORE)
        if not suits.any():
            continue
        j = int(np.where(suits, boxes, np.inf).argmin())
        free[j] = False
        equal, pixels, score = equal + 1, max(pixels, float(boxes[j])), max(score, float(scores[j]))
        if 'masks' in expected:
            mask_pixels += int((expected['masks'][i] ^ got['masks'][j]).sum())
            mask_area += int(expected['masks'][i].sum())
    return Pairs(equal, pixels, score, mask_pixels, mask_area)


@torch.inference_mode()
def reference(model: Any, files: Sequence[Path], facts: Facts) -> list[Found]:
    """What mmdet's own ``predict`` finds: in one image of free size as in ``eca_mm.predict``, else in the file's own input."""
    if facts['size'] is None and len(files) == 1:
        batch = model.data_preprocessor(read_batch(model, make_inferencer(model), files), False)
        images, samples = batch['inputs'], batch['data_samples']
    else:
        inputs = batch_inputs(files, facts)
        images, samples = inputs['images'], []
        for file, size, factor in zip(files, inputs['sizes'].tolist(), inputs['factors'], strict=True):
            sample = DetDataSample(metainfo=dict(batch_input_shape=tuple(images.shape[2:]), pad_shape=images.shape[2:]))
            shape = dict(img_shape=tuple(map(int, size)), ori_shape=read_image(file).shape[:2])
            sample.set_metainfo(shape | dict(scale_factor=tuple((1 / factor.double()).tolist())))
            samples.append(sample)
    return [_found(sample.pred_instances) for sample in model.predict(images, samples, rescale=True)]


def _found(instances: Any) -> Found:
    names = dict(bboxes='boxes', scores='scores', labels='labels', masks='masks')
    return {name: instances[key].numpy() for key, name in names.items() if key in instances}


def batch_inputs(files: Sequence[Path], facts: Facts) -> dict[str, Tensor]:
    """Inputs of the exported network for pictures, padded to the same size."""
    each = [preprocess(read_image(file), facts) for file in files]
    height, width = (max(one['images'].shape[axis] for one in each) for axis in (2, 3))
    padded = []
    for one in each:
        canvas = np.zeros((1, 3, height, width), np.float32)
        canvas[:, :, : one['images'].shape[2], : one['images'].shape[3]] = one['images']
        padded.append(canvas)
    arrays = {name: np.concatenate([one[name] for one in each]) for name in ('sizes', 'factors')}
    return {name: torch.from_numpy(array) for name, array in {'images': np.concatenate(padded), **arrays}.items()}


def split(outputs: dict[str, np.ndarray], files: Sequence[Path], mask_threshold: float) -> list[Found]:
    """The outputs of a batch by image, with masks pasted."""
    result = []
    for i, file in enumerate(files):
        own = outputs['image'] == i if 'image' in outputs else slice(None)
        found = {name: value[own] for name, value in outputs.items() if name != 'image'}
        if 'masks' in found:
            height, width = read_image(file).shape[:2]
            pairs = zip(found['masks'], found['boxes'], strict=True)
            pasted = [paste_mask(mask, box, height, width, mask_threshold) for mask, box in pairs]
            found['masks'] = np.stack(pasted) if pasted else np.zeros((0, height, width), bool)
        result.append(found)
    return result


def _groups(files: Sequence[Path], batch: int) -> Iterator[Sequence[Path]]:
    for start in range(0, len(files), batch):
        group = list(files[start : start + batch])
        yield group + [group[-1]] * (batch - len(group))


@contextmanager
def _least_score(network: ExportedDetector, threshold: float) -> Iterator[None]:
    before = network.test_cfg.get('score_thr')
    if before is not None:
        network.test_cfg.score_thr = threshold
    try:
        yield
    finally:
        if before is not None:
            network.test_cfg.score_thr = before
