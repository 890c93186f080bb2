"""Resizing, padding and normalisation of a config's test images: as facts for the file, and as a network of its own."""

from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from eca_mm.engine.config.parts import datasets, type_name
from eca_mm.errors import UserError

Facts = dict[str, Any]  # as eca_mm.onnx_detector.preprocess takes them
IGNORED = ('LoadImageFromFile', 'LoadAnnotations', 'PackDetInputs')
SHARES = 2048  # OpenCV's steps between two pixels


def preprocessing_of(cfg: Config, size: tuple[int, int] | None) -> Facts:
    """What the test pipeline and the data preprocessor do to an image.

    Args:
        cfg: A detector's config.
        size: Height and width of the exported network's images; None where they are free.

    Raises:
        UserError: If the pipeline has a transform, or an option, that is not known here.
    """
    pixels = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    facts: Facts = {
        'scale': None,
        'keep_ratio': True,
        'square': False,
        'pad_size': None,
        'pad_value': [0, 0, 0],
        'mean': list(pixels.get('mean') or [0, 0, 0]),
        'std': list(pixels.get('std') or [1, 1, 1]),
        'channels': 'RGB' if pixels.get('bgr_to_rgb') else 'BGR',
        'divisor': pixels.get('pad_size_divisor', 1),
        'size': size and list(size),
    }
    for transform in next(datasets(cfg.get('test_dataloader'))).get('pipeline') or ():
        _add(facts, type_name(transform), transform)
    if pixels.get('pad_value', 0):
        raise UserError(f'data_preprocessor.pad_value is {pixels["pad_value"]}: a detector can be exported with 0')
    return facts


def _add(facts: Facts, name: str, transform: Any) -> None:
    unusual = {'to_float32': False, 'interpolation': 'bilinear', 'backend': 'cv2', 'padding_mode': 'constant'}
    for option, usual in unusual.items():
        if transform.get(option, usual) != usual:
            raise UserError(
                f"the test pipeline's {name} has {option}={transform[option]!r}: only {usual!r} can be exported"
            )
    if name == 'Resize' and transform.get('scale'):
        scale = transform['scale']
        facts |= dict(scale=[int(n) for n in scale], keep_ratio=bool(transform.get('keep_ratio', False)))
    elif name == 'Pad':
        value = transform.get('pad_val', 0)
        value = value.get('img', 0) if isinstance(value, dict) else value
        size, divisor = transform.get('size'), transform.get('size_divisor')
        facts |= dict(square=bool(transform.get('pad_to_square', False)), pad_size=size and [size[1], size[0]])
        facts['pad_value'] = list(value) if isinstance(value, list | tuple) else [value] * 3
        if divisor:
            raise UserError(
                f"the test pipeline's Pad has size_divisor={divisor}: use data_preprocessor.pad_size_divisor"
            )
    elif name not in IGNORED:
        raise UserError(
            f'the test pipeline has {name}: only {", ".join(IGNORED)}, Resize (with a scale) and Pad can be exported; '
            'change test_dataloader.dataset.pipeline in a config of your own'
        )


def default_size(facts: Facts) -> tuple[int, int]:
    """Height and width that hold every landscape image of the pipeline, in whole strides."""
    width, height = facts['scale'] or (1333, 800)
    if facts['keep_ratio']:
        width, height = max(width, height), min(width, height)
    if facts['pad_size']:
        height, width = facts['pad_size']
    divisor = facts['divisor']
    side = max(height, width) if facts['square'] else 0
    return -(-max(height, side) // divisor) * divisor, -(-max(width, side) // divisor) * divisor


class Preprocessing(nn.Module):
    """From an image (H, W, 3), uint8, RGB, of any size to the inputs of :class:`ExportedDetector`.

    In integers, equal to OpenCV's INTER_LINEAR in every pixel: see ``eca_mm/onnx_detector.py``.
    """

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.facts = facts

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``images`` (1, 3, H', W'), ``sizes`` (1, 2), ``factors`` (1, 2)."""
        facts = self.facts
        old = torch.stack([torch.arange(n)[-1] + 1 for n in image.shape[:2]])
        new = self._resized(old.double())
        inside = new
        if facts['square']:
            inside = new.max().expand(2)
        elif facts['pad_size']:
            inside = new.maximum(torch.tensor(facts['pad_size']))
        rows, columns = (self._positions(inside, axis) for axis in (0, 1))
        pixels = self._resize(image, old, new, rows, columns).float()
        if facts['channels'] == 'BGR':
            pixels = pixels.flip(-1)
        pixels = torch.where(_within(rows, columns, new), pixels, torch.tensor(facts['pad_value']).float())
        normal = (pixels - torch.tensor(facts['mean']).float()) / torch.tensor(facts['std']).float()
        normal = normal * _within(rows, columns, inside)
        scale = new.double() / old.double()
        return normal.permute(2, 0, 1)[None], inside.float()[None], (1 / scale).float().flip(0)[None]

    def _resized(self, old: Tensor) -> Tensor:
        facts = self.facts
        if facts['scale'] is None:
            return old.long()
        if not facts['keep_ratio']:
            return torch.tensor([facts['scale'][1], facts['scale'][0]])
        factor = torch.minimum(max(facts['scale']) / old.max(), min(facts['scale']) / old.min())
        if facts['size']:
            factor = torch.minimum(factor, (torch.tensor(facts['size']).double() / old).min())
        return (old * factor + 0.5).long().clamp(min=1)

    def _positions(self, inside: Tensor, axis: int) -> Tensor:
        """0, 1, ... up to the length of the padded image."""
        if self.facts['size']:
            return torch.arange(self.facts['size'][axis])
        divisor = self.facts['divisor']
        length = ((inside[axis] + (divisor - 1)) // divisor * divisor).item()
        torch._check(length >= 1)
        return torch.arange(length)

    def _resize(self, image: Tensor, old: Tensor, new: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        low, high, share = _taps(columns, old[1], new[1], clamp_share=True)
        pixels = image.int()
        wide = pixels[:, low] * (SHARES - share)[:, None] + pixels[:, high] * share[:, None]
        low, high, share = _taps(rows, old[0], new[0], clamp_share=False)
        wide = wide // 16
        upper, lower = (SHARES - share)[:, None, None], share[:, None, None]
        return (wide[low] * upper // 65536 + wide[high] * lower // 65536 + 2) // 4


def _taps(positions: Tensor, old: Tensor, new: Tensor, clamp_share: bool) -> tuple[Tensor, Tensor, Tensor]:
    place = ((positions.double() + 0.5) * (1 / (new.double() / old.double())) - 0.5).float()
    first = place.floor()
    share = place - first
    first = first.long()
    if clamp_share:
        share = torch.where((first < 0) | (first >= old - 1), 0.0, share)
    last = old - 1
    return first.clamp(min=0).minimum(last), (first + 1).clamp(min=0).minimum(last), (share * SHARES).round().int()


def _within(rows: Tensor, columns: Tensor, size: Tensor) -> Tensor:
    return ((rows < size[0])[:, None] & (columns < size[1])[None])[..., None]
