"""Figures of what networks do: pooled activations, channel weights, and curves of trainings. Drawn by matplotlib."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eca_mm.analysis.channels import Channels, autocorrelation, period
from eca_mm.analysis.figure import BLACK, figure_of, styled
from eca_mm.errors import MissingFileError, UserError

# The paper's six, which ResNet-50 and deeper ones have.
LAYERS = ('conv_2_3', 'conv_3_2', 'conv_3_4', 'conv_4_3', 'conv_4_6', 'conv_5_3')


def name_networks(files: Sequence[tuple[str, str]]) -> list[str]:
    """Names of networks for a figure: the configs' without folder and suffix, or, where these are alike, the checkpoints.

    >>> name_networks([('configs/imagenet/se_resnet50.py', 'se.pth'), ('configs/imagenet/eca_resnet50.py', 'eca.pth')])
    ['se_resnet50', 'eca_resnet50']
    >>> name_networks([('work/SE/shapes.py', 'work/SE/epoch_8.pth'), ('work/ECA/shapes.py', 'work/ECA/epoch_8.pth')])
    ['work/SE/epoch_8.pth', 'work/ECA/epoch_8.pth']
    """
    names = [Path(config).stem for config, _ in files]
    return names if len(set(names)) == len(names) else [checkpoint for _, checkpoint in files]


@styled
def draw_pooling(found: Mapping[str, Channels]) -> tuple[Any, dict[str, Any]]:
    """Figure 6: for each layer the channels of a few images and of their mean, and the autocorrelation of the mean.

    Returns:
        The figure and the numbers: of each layer ``NAME/mean`` (C,), ``NAME/images`` (n, C), ``NAME/autocorrelation`` and
        ``NAME/period``, which are lag, height and the bound of chance.
    """
    figure, axes = figure_of(len(found), 2, 5, 1.7)
    numbers: dict[str, Any] = {}
    for (left, right), (name, channels) in zip(axes, found.items(), strict=True):
        mean, images = channels.mean().numpy(), np.stack([image.numpy() for image in channels.first])
        r, peak = autocorrelation(mean), period(mean)
        left.plot(images.T, lw=0.5, alpha=0.6)
        left.plot(mean, lw=0.8, color=BLACK)
        left.set_title(f'GAP {name}, {sum(channels.counts.values())} images, black: mean', loc='left')
        left.set(xmargin=0, xlabel='channel')
        left.locator_params('x', integer=True)
        right.axhspan(-peak.bound, peak.bound, color='#d9d5ca', lw=0)
        right.plot(range(1, len(r)), r[1:], lw=0.8, color=BLACK)
        text = f'{peak.height:.2f} at a lag of {peak.lag}' if peak.lag else 'no peak'
        right.set_title(f'autocorrelation: {text}; a random order stays below {peak.bound:.2f}', loc='left')
        right.set(xmargin=0, xlabel='lag in channels')
        values = {'mean': mean, 'images': images, 'autocorrelation': r, 'period': np.array(peak)}
        numbers |= {f'{name}/{kind}': value for kind, value in values.items()}
    return figure, numbers


@styled
def draw_weights(networks: Mapping[str, Mapping[str, Channels]], classes: int = 4) -> tuple[Any, dict[str, Any]]:
    """Figure 7: the channels' weights in each block, by class and on average, a row for each network.

    Args:
        networks: By their name, from :func:`eca_mm.analysis.channels.collect` on :func:`attention_taps`.
        classes: How many classes are drawn; all are in the average and in the numbers.

    Returns:
        The figure, and the numbers: ``NETWORK/BLOCK/mean`` (C,) and ``NETWORK/BLOCK/CLASS`` (C,).

    Raises:
        UserError: If the networks have not the same blocks.
    """
    names = [list(found) for found in networks.values()]
    if any(other != names[0] for other in names):
        raise UserError(f'the networks have attention in different blocks: {", ".join(networks)} cannot share a figure')
    figure, axes = figure_of(len(networks) * -(-len(names[0]) // 4), 4, 3, 1.6)
    numbers: dict[str, Any] = {}
    for i, block in enumerate(names[0]):
        for j, (network, found) in enumerate(networks.items()):
            channels, panel = found[block], axes[i // 4 * len(networks) + j, i % 4]
            for label in list(channels.sums)[:classes]:
                panel.plot(channels.mean(label).numpy(), lw=0.5, alpha=0.7, label=label)
            panel.plot(channels.mean().numpy(), lw=0.8, color=BLACK, label='average')
            panel.set_title(f'{network}, {block}', loc='left')
            panel.set(xmargin=0, ylim=(0, 1))
            panel.locator_params('x', integer=True)
            numbers[f'{network}/{block}/mean'] = channels.mean().numpy()
            numbers |= {f'{network}/{block}/{label}': channels.mean(label).numpy() for label in channels.sums}
    for panel in axes.flat:
        panel.set_visible(panel.has_data())
    for panel in axes[-1]:
        panel.set_xlabel('channel')
    for panel in axes[:, 0]:
        panel.set_ylabel('weight')
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc='outside lower center', ncols=classes + 1, frameon=False)
    return figure, numbers


def read_curve(work_dir: str | Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a number in mmengine's logs of a run; where it was resumed, the later log counts.

    Raises:
        MissingFileError: If the folder has no log.
        UserError: If no line has the number, with those that there are.
    """
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not logs:
        raise MissingFileError(f'{work_dir} has no log of a run: no TIME/vis_data/scalars.json')
    lines = [
        json.loads(line) for log in logs for line in log.read_text().splitlines() if line.endswith('}')
    ]  # of a kill: half
    if any(key in line for line in lines if 'loss' in line):
        lines = [line for line in lines if 'loss' in line]  # times of validations, by epoch, have the same name
    points = {line['step']: line[key] for line in lines if key in line}
    if not points:
        keys = sorted({name for line in lines for name in line} - {'step', 'iter', 'epoch'})
        raise UserError(f'the logs in {work_dir} have no {key!r}: there are {", ".join(keys)}')
    steps = sorted(points)
    return np.array(steps), np.array([points[step] for step in steps])


@styled
def draw_curves(work_dirs: Sequence[str | Path], key: str) -> tuple[Any, dict[str, Any]]:
    """A number of several runs as it went; the numbers are ``RUN/step`` and ``RUN/value``.

    Raises:
        MissingFileError: As :func:`read_curve`.
        UserError: As :func:`read_curve`.
    """
    figure, axes = figure_of(1, 1, 6, 3.5)
    numbers: dict[str, Any] = {}
    for folder in work_dirs:
        steps, values = read_curve(folder, key)
        axes[0, 0].plot(steps, values, lw=0.9, marker='.' if len(steps) < 50 else '', label=str(folder))
        numbers |= {f'{folder}/step': steps, f'{folder}/value': values}
    axes[0, 0].set(xlabel='step', xmargin=0.01)
    axes[0, 0].set_title(key, loc='left')
    axes[0, 0].legend(frameon=False)
    return figure, numbers
