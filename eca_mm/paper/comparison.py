"""The paper's comparison on data that anyone has: attention layers in one slot, by one recipe, with several seeds."""

import ast
import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import MODELS

from eca_mm.analysis.complexity import parameters
from eca_mm.analysis.plots import read_curve
from eca_mm.engine import evaluate, train
from eca_mm.engine.config.parts import accuracies, topk_of
from eca_mm.engine.metrics import BENCHMARKS, Metrics
from eca_mm.engine.model import build_model
from eca_mm.errors import Interrupted, UserError
from eca_mm.models import attention
from eca_mm.output import make_folder, write_atomically

PLAIN = 'plain'
METRIC = BENCHMARKS['class'].metrics[0].name
# The layers of this package that fit any slot, by the names that papers have for them.
LAYERS = {name.removesuffix('Layer'): name for name in attention.__all__ if name.endswith('Layer')}


@dataclass
class Result:
    """What a contender's runs gave."""

    name: str
    parameters: int = 0
    accuracies: dict[int, float] = field(default_factory=dict)  # top-1 in per cent, by seed
    seconds: dict[int, float] = field(default_factory=dict)  # of a step, data included: the median of the log, by seed


class Summary(NamedTuple):
    """A contender beside the first one, over the seeds that both have.

    Attributes:
        mean, std: Of the accuracies in per cent; the standard deviation with n - 1, None for one seed.
        difference, interval: The mean of ``accuracy - accuracy of the first`` of each seed, and half the width of its 95 %
            confidence interval, ``t_{0.975, n-1} s / sqrt(n)``; None for the first and for one seed.
        p: Of the paired, two-sided t-test; None where there is no interval or all differences are equal.
        slower: Median over the seeds of the ratio of the time of a step to the first one's.
    """

    name: str
    parameters: int
    mean: float
    std: float | None
    difference: float | None
    interval: float | None
    p: float | None
    seconds: float
    slower: float


def contender(text: str) -> tuple[str, dict[str, Any] | None]:
    """A network of the comparison, by a text such as 'plain', 'ECA', 'ECA-NS:kernel_size=3' or 'ContextBlock:ratio=0.25'.

    Returns:
        Its name, and the config of the layer in its slot.

    Raises:
        UserError: If no layer has the name, or what stands behind the colon is not KEY=VALUE,...
    """
    name, _, options = text.partition(':')
    try:
        call: Any = ast.parse(f'f({options})', mode='eval').body
        if not isinstance(call, ast.Call) or call.args or any(word.arg is None for word in call.keywords):
            raise ValueError(options)
        arguments = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        if given := {'type', 'in_channels'} & arguments.keys():
            raise ValueError(given)
    except (SyntaxError, ValueError) as error:
        what = 'behind the colon stand options of the layer, KEY=VALUE,..., as in ECA:kernel_size=3'
        raise UserError(f'{text!r}: {what}') from error
    known = {_plainly(short): f'eca_mm.{layer}' for short, layer in LAYERS.items()}
    if _plainly(name) == PLAIN and not arguments:
        return PLAIN, None
    kind = known.get(_plainly(name)) or (name if MODELS.get(name) is not None else None)
    if kind is None:
        near = difflib.get_close_matches(_plainly(name), [PLAIN, *known], n=1)
        hint = f'did you mean {near[0]!r}? ' if near else ''
        raise UserError(
            f'no attention layer {name!r}: {hint}There are {PLAIN}, {", ".join(LAYERS)}, and registered names'
        )
    return text, dict(type=kind, **arguments)


def _plainly(name: str) -> str:
    return name.lower().replace('-', '').replace('_', '').removesuffix('layer')


def compare(load: Callable[[], Config], names: Sequence[str], seeds: Sequence[int], folder: str | Path) -> list[Result]:
    """Trains every contender with every seed, evaluates each at its end, and prints a line of it.

    A seed decides the order of the data and its augmentation, which are the same for all contenders, and the initial weights.
    Runs take turns, seed by seed. What an earlier call has finished in ``folder`` is taken from there, and what it has begun
    goes on.

    Args:
        load: Reads the config, of a classifier whose backbone has an ``attention`` slot.
        names: See :func:`contender`; the others are compared with the first.
        seeds: One run of each.
        folder: Gets ``NAME/seed_SEED`` for each run.

    Raises:
        UserError: If a name is unknown or a name or seed is there twice, if the backbone has no slot or the config no top-1
            accuracy, or a run of the folder was made by another recipe; also as :func:`train`.
        Interrupted: After Ctrl-C or another signal.
    """
    layers = dict(map(contender, names))
    if twice := [value for value, count in Counter(map(str, (*names, *seeds))).items() if count > 1]:
        raise UserError(f'{", ".join(twice)} is there twice: name each once')
    results = {name: Result(name, parameters(_build(_config(load, layer)))) for name, layer in layers.items()}
    for seed in seeds:
        for name, layer in layers.items():
            run = Path(folder) / name.replace(':', '_').replace(',', '_') / f'seed_{seed}'
            metrics = _run(_config(load, layer), seed, run)
            result = results[name]
            result.accuracies[seed] = metrics.metrics[METRIC]
            result.seconds[seed] = median(read_curve(run, 'time')[1])
            print(f'{name}, seed {seed}: {result.accuracies[seed]:.2f} % top-1')
    return list(results.values())


def _config(load: Callable[[], Config], layer: dict[str, Any] | None) -> Config:
    cfg = load()
    if 'backbone' not in cfg.model:
        raise UserError(f'{cfg.filename}: its model has no backbone with an attention slot')
    if not any(1 in topk_of(evaluator) for evaluator in accuracies(cfg, 'test')):
        raise UserError(
            f'{cfg.filename}: classifiers are compared by their top-1 accuracy, and it has no '
            "test_evaluator=dict(type='Accuracy', topk=(1, ...))"
        )
    cfg.model.backbone.attention = layer
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None  # evaluated at the end, as a test
    return cfg


def _build(cfg: Config) -> Any:
    try:
        return build_model(cfg)
    except UserError as error:
        backbone = cfg.model.backbone
        slot = f"{cfg.filename} with attention={backbone.attention} for its backbone's slot ({backbone.type})"
        hint = '; eca_mm.AttentionResNet and its like have one' if "argument 'attention'" in str(error) else ''
        raise UserError(f'{slot}: {error}{hint}') from error


def _run(cfg: Config, seed: int, folder: Path) -> Metrics:
    """One training and its evaluation, or as much of it as is missing."""
    cfg.work_dir = ''
    recipe, file = cfg.pretty_text, make_folder(folder, '`work_dir`') / 'recipe.txt'
    if file.exists() and file.read_text() != recipe:
        raise UserError(
            f'{folder} was made by another recipe (compare {file}): choose another `work_dir`, or remove it'
        )
    if not (folder / 'metrics.json').exists():
        write_atomically(file, recipe)
        cfg.work_dir = str(folder)
        test = Config(cfg.to_dict(), filename=cfg.filename)
        try:
            checkpoint = train(cfg, resume='auto', seed=seed).checkpoint
        except Interrupted as error:
            raise Interrupted(f'{folder}: {error}. The same command goes on', error.code) from None
        evaluate(test, str(checkpoint))
    return Metrics.read(folder / 'metrics.json')


def summarise(results: Sequence[Result]) -> list[Summary]:
    """Statistics of the contenders, in their order; the first is what the others are compared with."""
    from scipy import stats

    first, found = results[0], []
    for result in results:
        values = list(result.accuracies.values())
        apart = [result.accuracies[seed] - first.accuracies[seed] for seed in result.accuracies]
        difference = interval = p = None
        if result is not first and len(values) > 1:
            spread = stdev(apart)
            difference, interval = fmean(apart), float(stats.t.ppf(0.975, len(apart) - 1)) * spread / len(apart) ** 0.5
            p = float(stats.ttest_1samp(apart, 0).pvalue) if spread else None
        found.append(
            Summary(
                result.name,
                result.parameters,
                fmean(values),
                stdev(values) if len(values) > 1 else None,
                difference,
                interval,
                p,
                median(result.seconds.values()),
                median(result.seconds[seed] / first.seconds[seed] for seed in result.seconds),
            )
        )
    return found
