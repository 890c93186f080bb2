"""What the paper measures accuracy on, and each metric's name in its tables, in mmengine and in OpenMMLab's model index."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A column of accuracies.

    Attributes:
        column: Its name in the paper's tables.
        name: Its name in mmengine and in ``metrics.json``.
        index: Its name in OpenMMLab's model index; None for one that is not listed there.
    """

    column: str
    name: str
    index: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """A task on the dataset that the paper has for it.

    Attributes:
        tables: The paper's tables with its metrics.
        task, dataset: OpenMMLab's names.
        split: The images that the metrics are of.
        images: How many they are, by which they are known.
        percent: What mmengine's value is multiplied by to be in per cent.
        digits: Of the per cent that the paper prints.
        metrics: The columns.
    """

    tables: tuple[str, ...]
    task: str
    dataset: str
    split: str
    images: int
    percent: float
    digits: int
    metrics: tuple[Metric, ...]


def _coco(table: str, task: str, kind: str, index: str) -> Benchmark:
    names = {'AP': '', 'AP50': '_50', 'AP75': '_75', 'APS': '_s', 'APM': '_m', 'APL': '_l'}
    metrics = (Metric(c, f'coco/{kind}_mAP{n}', index if c == 'AP' else None) for c, n in names.items())
    return Benchmark((table,), task, 'COCO', 'COCO val2017', 5000, 100, 1, tuple(metrics))


# By what is predicted: boxes and masks under COCO's names for them, and classes.
BENCHMARKS = {
    'bbox': _coco('table4', 'Object Detection', 'bbox', 'box AP'),
    'segm': _coco('table5', 'Instance Segmentation', 'segm', 'mask AP'),
    'class': Benchmark(
        ('table1', 'table2', 'table3', 'figure4'),
        'Image Classification',
        'ImageNet-1k',
        'ImageNet val',
        50_000,
        1,
        2,
        (Metric('Top-1', 'accuracy/top1', 'Top 1 Accuracy'), Metric('Top-5', 'accuracy/top5', 'Top 5 Accuracy')),
    ),
}


def benchmark_of(table: str) -> Benchmark:
    """The benchmark whose metrics are a table's accuracies."""
    return next(b for b in BENCHMARKS.values() if table in b.tables)
