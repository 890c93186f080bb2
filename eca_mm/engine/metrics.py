"""Accuracies: their names in mmengine, in tables and in OpenMMLab's model index, and the file that holds them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from eca_mm.errors import MissingFileError, UserError
from eca_mm.output import write_atomically


@dataclass(frozen=True)
class Metric:
    """A column of accuracies.

    Attributes:
        column: Its name in tables of papers.
        name: Its name in mmengine and in ``metrics.json``.
        index: Its name in OpenMMLab's model index; None for one that is not listed there.
    """

    column: str
    name: str
    index: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """A task on the dataset that papers have for it.

    Attributes:
        task, dataset: OpenMMLab's names.
        split: The images that the metrics are of.
        images: How many they are, by which they are known.
        percent: What mmengine's value is multiplied by to be in per cent.
        digits: Of the per cent that papers print.
        metrics: The columns.
    """

    task: str
    dataset: str
    split: str
    images: int
    percent: float
    digits: int
    metrics: tuple[Metric, ...]


def _coco(task: str, kind: str, index: str) -> Benchmark:
    names = {'AP': '', 'AP50': '_50', 'AP75': '_75', 'APS': '_s', 'APM': '_m', 'APL': '_l'}
    metrics = (Metric(c, f'coco/{kind}_mAP{n}', index if c == 'AP' else None) for c, n in names.items())
    return Benchmark(task, 'COCO', 'COCO val2017', 5000, 100, 1, tuple(metrics))


# By what is predicted: boxes and masks under COCO's names for them, and classes.
BENCHMARKS = {
    'bbox': _coco('Object Detection', 'bbox', 'box AP'),
    'segm': _coco('Instance Segmentation', 'segm', 'mask AP'),
    'class': Benchmark(
        'Image Classification',
        'ImageNet-1k',
        'ImageNet val',
        50_000,
        1,
        2,
        (Metric('Top-1', 'accuracy/top1', 'Top 1 Accuracy'), Metric('Top-5', 'accuracy/top5', 'Top 5 Accuracy')),
    ),
}


@dataclass(frozen=True)
class Metrics:
    """The content of a ``metrics.json``: what an evaluation gave, and of which weights.

    Attributes:
        metrics: Value by mmengine's name: ``coco/bbox_mAP`` (a fraction), ``accuracy/top1`` (per cent), ...; COCO's -1
            where there is nothing to detect.
        images: How many images they are of.
        config: The config's file.
        checkpoint: The weights' file or URL.
        epoch: How many epochs the weights were trained for, where the checkpoint tells.
        source: Whose the weights are, where they were converted.
    """

    metrics: Mapping[str, float]
    images: int
    config: str | None = None
    checkpoint: str | None = None
    epoch: int | None = None
    source: str | None = None

    def write(self, folder: str | Path) -> Path:
        """Writes ``metrics.json`` into a folder; UserError as :func:`write_atomically`."""
        content = {key: value for key, value in asdict(self).items() if value is not None}
        return write_atomically(Path(folder) / 'metrics.json', json.dumps(content, indent=2) + '\n')

    @classmethod
    def read(cls, file: str | Path) -> 'Metrics':
        """Reads a ``metrics.json``.

        Raises:
            MissingFileError: If there is no such file.
            UserError: If it is not what :meth:`write` writes.
        """
        file = Path(file)
        if not file.is_file():
            raise MissingFileError(f'no metrics: {file} does not exist; tools/test.py writes it')
        try:
            content = json.loads(file.read_text())
            metrics = {str(name): float(value) for name, value in content['metrics'].items()}
            texts = {key: str(content[key]) for key in ('config', 'checkpoint', 'source') if key in content}
            epoch = content.get('epoch')
            return cls(metrics, int(content['images']), epoch=epoch if isinstance(epoch, int) else None, **texts)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(f'{file} is not what tools/test.py writes ({type(error).__name__}: {error})') from error
