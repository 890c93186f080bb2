"""OpenMMLab's model index: how a model and its results are entered in a ``metafile.yml``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from eca_mm.engine.metrics import Benchmark

Value = TypeVar('Value')


def model_entry(
    config: str,
    *,
    training_data: str | None,
    epochs: int | None,
    batch_size: int | None,
    parameters: float | None,
    flops: float | None = None,
    printed: dict[str, float] | None = None,
    results: Sequence[dict[str, Any]] = (),
    weights: str | None = None,
    collection: str = 'ECA-Net',
) -> dict[str, Any]:
    """An entry of the list ``Models``. What is None or empty is left out.

    Args:
        config: From :func:`eca_mm.paths.config_name`; the model is named after the file.
        training_data: OpenMMLab's name of the dataset.
        epochs: Of the training.
        batch_size: Images per step of the optimiser, on all GPUs together.
        parameters: Their number.
        flops: Multiply-adds, which OpenMMLab calls so.
        printed: The paper's accuracies in per cent, by :func:`index_names`.
        results: Ours, from :func:`task_results`.
        weights: File name or URL.
        collection: Of models of one paper.
    """
    metadata = {
        'Training Data': training_data,
        'Epochs': epochs,
        'Batch Size': batch_size,
        'Parameters': parameters,
        'FLOPs': flops,
        'Printed in the paper': printed,
    }
    return {
        'Name': Path(config).stem,
        'In Collection': collection,
        'Config': config,
        'Metadata': {key: value for key, value in metadata.items() if value is not None},
        **({'Results': list(results)} if results else {}),
        **({'Weights': weights} if weights else {}),
    }


def task_results(benchmark: Benchmark, dataset: str | None, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entry of the list ``Results`` for one task; an empty list if none of the values are in the index.

    Args:
        benchmark: The task.
        dataset: What the values were measured on: the benchmark's dataset, or another name.
        values: Per cent by the metric's column in papers: 'AP', 'Top-1', ...
    """
    metrics = index_names(benchmark, values)
    return [{'Task': benchmark.task, 'Dataset': dataset, 'Metrics': metrics}] if metrics else []


def index_names(benchmark: Benchmark, values: Mapping[str, Value]) -> dict[str, Value]:
    """The values by the metrics' names in the index, without those that it does not list.

    >>> from eca_mm.engine.metrics import BENCHMARKS
    >>> index_names(BENCHMARKS['bbox'], {'AP': 38.0, 'AP50': 60.6})
    {'box AP': 38.0}
    """
    return {m.index: values[m.column] for m in benchmark.metrics if m.index and m.column in values}
