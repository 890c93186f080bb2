"""Run a detector that `eca-mm export` wrote as ONNX: from picture files to boxes, scores, labels and masks.

Needs numpy, Pillow and onnxruntime, and nothing else: neither torch nor the rest of this package. Copy it where you like.

    python onnx_detector.py detector.onnx street.jpg --out-dir predictions
    Detector('detector.onnx')(read_image('street.jpg'))  # {'boxes': (N, 4), 'scores': (N,), 'labels': (N,), ...}

Pictures are resized as by OpenCV, whose formula is here in numpy, so that detections are those of the trained network.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
COLOURS = ('#e6194b', '#3cb44b', '#4363d8', '#f58231', '#911eb4', '#008080', '#9a6324', '#808000')


class Detector:
    """An exported detector.

    Args:
        file: The .onnx file.
        score_threshold: Least score; the config's by default.
        iou_threshold: Of the last NMS; the config's by default.
        threads: For onnxruntime; 0 for as many as it likes.

    Attributes:
        facts: Metadata of the file: ``classes``, ``preprocessing``, ...
    """

    def __init__(
        self, file: Any, *, score_threshold: float | None = None, iou_threshold: float | None = None, threads: int = 0
    ) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(f'{error.name} does not import: pip install onnxruntime') from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=['CPUExecutionProvider'])
        except Exception as error:  # onnxruntime has an exception of its own per status
            raise ValueError(f'{file} cannot be read as ONNX: {str(error).splitlines()[0]}') from error
        found = self.session.get_modelmeta().custom_metadata_map
        if found.get('part') != 'detector':
            raise ValueError(f'{file} is not a whole detector: export one by --part detector')
        self.facts: dict[str, Any] = {key: _as_json(value) for key, value in found.items()}
        inputs = {i.name: i.shape for i in self.session.get_inputs()}
        self.takes_pixels = 'image' in inputs  # resizing is in the file
        self.batch = 1 if self.takes_pixels else inputs['images'][0]
        changeable = {i.name for i in self.session.get_overridable_initializers()}
        self.thresholds = {}
        for name, value in (('score_threshold', score_threshold), ('iou_threshold', iou_threshold)):
            if value is not None and name not in changeable:
                raise ValueError(f'{file} has no {name} to change')
            if value is not None:
                self.thresholds[name] = np.array(value, np.float32).reshape(() if name == 'score_threshold' else (1,))

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Detections by falling score in an image (H, W, 3), uint8, RGB; boxes (N, 4) as x1, y1, x2, y2 in its pixels."""
        if self.takes_pixels:
            feed = {'image': np.ascontiguousarray(image)}
        else:
            one = preprocess(image, self.facts['preprocessing'])
            feed = {name: np.repeat(value, self.batch, 0) for name, value in one.items()}
        return self.run(**feed)

    def run(self, **feed: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs for the inputs of the file, by name."""
        names = [output.name for output in self.session.get_outputs()]
        found = dict(zip(names, self.session.run(None, {**feed, **self.thresholds}), strict=True))
        if 'image' in found and not self.takes_pixels and len(set(map(bytes, feed['images']))) == 1:
            found = {name: value[found['image'] == 0] for name, value in found.items()}  # of one image, repeated
        return found

    def pasted(self, found: dict[str, np.ndarray], height: int, width: int) -> np.ndarray:
        """The masks of detections (N, height, width) of bool, in an image of this size."""
        masks = np.zeros((len(found['scores']), height, width), bool)
        for canvas, mask, box in zip(masks, found['masks'], found['boxes'], strict=True):
            canvas[:] = paste_mask(mask, box, height, width, self.facts['mask_threshold'])
        return masks


def read_image(file: Any) -> np.ndarray:
    """A picture (H, W, 3), uint8, RGB, turned as its EXIF data say."""
    try:
        with Image.open(file) as picture:
            return np.asarray(ImageOps.exif_transpose(picture).convert('RGB'))
    except (OSError, ValueError) as error:
        raise ValueError(f'{file} is not a picture that can be read ({error})') from error


def preprocess(image: np.ndarray, facts: dict[str, Any]) -> dict[str, np.ndarray]:
    """Inputs of a file without resizing: ``images`` (1, 3, H, W), ``sizes`` (1, 2) and ``factors`` (1, 2)."""
    height, width = image.shape[:2]
    size = resized_size(height, width, facts)
    pixels = resize(image, *size)
    if facts['channels'] == 'BGR':
        pixels = pixels[..., ::-1]
    inside = padded_size(size, facts['square'], facts['pad_size'])
    canvas = np.empty((*inside, 3), np.uint8)
    canvas[:] = facts['pad_value']
    canvas[: size[0], : size[1]] = pixels
    normal = (canvas.astype(np.float32) - np.float32(facts['mean'])) / np.float32(facts['std'])
    fixed, divisor = facts['size'], facts['divisor']
    outside = tuple(fixed or (-(-n // divisor) * divisor for n in inside))
    images = np.zeros((1, 3, *outside), np.float32)
    images[0, :, : inside[0], : inside[1]] = normal.transpose(2, 0, 1)
    factors = np.array([[1 / (size[1] / width), 1 / (size[0] / height)]], np.float32)
    return dict(images=images, sizes=np.array([inside], np.float32), factors=factors)


def resized_size(height: int, width: int, facts: dict[str, Any]) -> tuple[int, int]:
    """Height and width of the resized image, as mmdet's Resize has them."""
    scale, fixed = facts['scale'], facts['size']  # width and height; height and width
    if scale is None:
        return height, width
    if not facts['keep_ratio']:
        return scale[1], scale[0]
    factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
    if fixed:
        factor = min(factor, fixed[0] / height, fixed[1] / width)
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def padded_size(size: tuple[int, int], square: bool, least: Sequence[int] | None) -> tuple[int, int]:
    """Height and width after mmdet's Pad."""
    if square:
        return max(size), max(size)
    return (max(size[0], least[0]), max(size[1], least[1])) if least else size


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, in the fixed-point numbers of OpenCV's INTER_LINEAR for uint8: equal to it in every pixel."""
    if image.shape[:2] == (height, width):
        return image
    low, high, share = _taps(image.shape[1], width, clamp_share=True)
    pixels = image.astype(np.int32)
    rows = pixels[:, low] * (2048 - share)[:, None] + pixels[:, high] * share[:, None]
    low, high, share = _taps(image.shape[0], height, clamp_share=False)
    rows >>= 4
    upper, lower = (2048 - share)[:, None, None], share[:, None, None]
    return ((((rows[low] * upper) >> 16) + ((rows[high] * lower) >> 16) + 2) >> 2).astype(np.uint8)


def _taps(old: int, new: int, clamp_share: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels of each new one, and the second's share in 1/2048."""
    position = ((np.arange(new) + 0.5) * (1 / (new / old)) - 0.5).astype(np.float32)
    first = np.floor(position).astype(np.int64)
    share = position - first.astype(np.float32)
    if clamp_share:
        share = np.where((first < 0) | (first >= old - 1), np.float32(0), share)
    return first.clip(0, old - 1), (first + 1).clip(0, old - 1), np.rint(share * 2048).astype(np.int32)


def paste_mask(mask: np.ndarray, box: np.ndarray, height: int, width: int, threshold: float = 0.5) -> np.ndarray:
    """A mask (h, w) of probabilities within its box as (height, width) of bool, as mmdet pastes it."""
    weights = []
    for cells, start, end, length in ((mask.shape[0], box[1], box[3], height), (mask.shape[1], box[0], box[2], width)):
        with np.errstate(all='ignore'):
            place = (np.arange(length, dtype=np.float32) + np.float32(0.5) - start) / (end - start) * cells - 0.5
        place = np.where(np.isfinite(place), place, np.float32(cells / 2 - 0.5))  # of a box without width: its centre
        distance = np.abs(place[:, None] - np.arange(cells, dtype=np.float32))
        weights.append(np.maximum(1 - distance, 0))
    return weights[0] @ mask @ weights[1].T >= threshold


def draw(image: np.ndarray, found: dict[str, np.ndarray], classes: Sequence[str], threshold: float = 0.3) -> Any:
    """A Pillow image with boxes, names and masks of the detections from a score on."""
    canvas = image.copy()
    shown = [i for i, score in enumerate(found['scores']) if score >= threshold]
    for i in shown if 'masks' in found else ():
        inside = paste_mask(found['masks'][i], found['boxes'][i], *image.shape[:2])
        colour = COLOURS[int(found['labels'][i]) % len(COLOURS)]
        rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
        canvas[inside] = canvas[inside] // 2 + (rgb // 2).astype(np.uint8)
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    for i in reversed(shown):
        label, box = int(found['labels'][i]), [float(x) for x in found['boxes'][i]]
        name = classes[label] if label < len(classes) else str(label)
        pen.rectangle(box, outline=COLOURS[label % len(COLOURS)], width=2)
        pen.text((box[0] + 3, box[1] + 1), f'{name} {found["scores"][i]:.2f}', fill=COLOURS[label % len(COLOURS)])
    return picture


def predict_files(
    detector: Detector, images: Sequence[Any], out_dir: Any, threshold: float = 0.3
) -> Iterator[tuple[Path, dict[str, np.ndarray]]]:
    """Write ``vis/NAME.png`` and ``preds/NAME.json`` below a folder for images or folders of them, one after another."""
    files = [f for path in map(Path, images) for f in (_in_folder(path) if path.is_dir() else [path])]
    if len({file.stem for file in files}) < len(files):
        raise ValueError('two of the images have the same name: rename one, or predict them one at a time')
    out = Path(out_dir)
    for file in files:
        image = read_image(file)
        found = detector(image)
        for folder in ('vis', 'preds'):
            (out / folder).mkdir(parents=True, exist_ok=True)
        draw(image, found, detector.facts.get('classes', ()), threshold).save(out / f'vis/{file.stem}.png')
        lists = dict(labels=found['labels'].tolist(), scores=found['scores'].tolist(), bboxes=found['boxes'].tolist())
        temporary = out / f'preds/.{file.stem}.{os.getpid()}'
        temporary.write_text(json.dumps(lists))
        temporary.replace(out / f'preds/{file.stem}.json')
        yield file, found


def _in_folder(path: Path) -> list[Path]:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f'no image in {path}: its files need one of the suffixes {", ".join(SUFFIXES)}')
    return files


def _as_json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('detector', help='a file that eca-mm export wrote')
    parser.add_argument('images', nargs='+', help='images, or folders of images')
    parser.add_argument('--out-dir', default='predictions', help='output folder (%(default)s)')
    parser.add_argument('--threshold', type=float, default=0.3, help='least score of a drawn box (%(default)s)')
    parser.add_argument('--score-threshold', type=float, help="least score of what is found (the config's)")
    parser.add_argument('--iou-threshold', type=float, help="of the last NMS (the config's)")
    a = parser.parse_args(arguments)
    try:
        detector = Detector(a.detector, score_threshold=a.score_threshold, iou_threshold=a.iou_threshold)
        count = sum(1 for _ in predict_files(detector, a.images, a.out_dir, a.threshold))
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'{count} images: pictures and JSON in {a.out_dir}')


if __name__ == '__main__':
    main()
