"""The figures: what is drawn and written, and logs as mmengine writes them."""

import re

import numpy as np
import pytest
import torch
from mmengine.visualization import LocalVisBackend

from eca_mm.analysis.channels import Channels
from eca_mm.analysis.figure import check_figure, save_figure
from eca_mm.analysis.plots import draw_curves, draw_pooling, draw_weights, read_curve


def channels(seed, labels=('dog', 'cat')):
    found = Channels()
    for i, label in enumerate(labels):
        found.add(torch.rand(2, 32, generator=torch.Generator().manual_seed(seed + i)), [label] * 2)
    return found


def lines(axes):
    return [line.get_ydata() for line in axes.lines]


def test_pooling():
    found = {'conv_2_1': channels(0), 'conv_2_2': channels(5)}
    figure, numbers = draw_pooling(found)
    assert len(figure.axes) == 4 and len(lines(figure.axes[0])) == 4 + 1
    np.testing.assert_array_equal(lines(figure.axes[0])[-1], found['conv_2_1'].mean())
    np.testing.assert_array_equal(numbers['conv_2_2/mean'], found['conv_2_2'].mean())
    assert numbers['conv_2_2/images'].shape == (4, 32) and numbers['conv_2_2/autocorrelation'].shape == (17,)
    lag, height, bound = numbers['conv_2_1/period']
    text = f'{height:.2f} at a lag of {lag:.0f}; a random order stays below {bound:.2f}'
    assert text in figure.axes[1].get_title(loc='left')


def test_weights():
    networks = {name: {'conv_2_1': channels(i), 'conv_2_2': channels(i + 1)} for i, name in enumerate(('SE', 'ECA'))}
    figure, numbers = draw_weights(networks, classes=1)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc='left') for axes in shown] == [
        'SE, conv_2_1',
        'SE, conv_2_2',
        'ECA, conv_2_1',
        'ECA, conv_2_2',
    ]
    assert all(len(axes.lines) == 2 for axes in shown)  # a class and the average
    np.testing.assert_array_equal(lines(shown[3])[0], numbers['ECA/conv_2_2/dog'])
    np.testing.assert_allclose(
        numbers['SE/conv_2_1/mean'], (numbers['SE/conv_2_1/dog'] + numbers['SE/conv_2_1/cat']) / 2
    )
    with pytest.raises(ValueError, match='attention in different blocks: SE, ECA'):
        draw_weights({'SE': {'conv_2_1': channels(0)}, 'ECA': {}})


@pytest.fixture
def run(tmp_path):
    """Logs of a run and of its continuation, from step 3 on."""
    for time, steps in (('20260101_000000', range(1, 5)), ('20260102_000000', range(3, 7))):
        log = LocalVisBackend(save_dir=str(tmp_path / time / 'vis_data'))
        for step in steps:
            log.add_scalars({'loss': step + 0.5 * (time > '20260101_1'), 'lr': 0.1}, step=step)
        log.add_scalar('accuracy/top1', torch.tensor(70.0), step=1)
    return tmp_path


def test_curves(run):
    steps, values = read_curve(run, 'loss')
    assert steps.tolist() == [1, 2, 3, 4, 5, 6] and values.tolist() == [1, 2, 3.5, 4.5, 5.5, 6.5]
    figure, numbers = draw_curves([run, run], 'loss')
    assert len(figure.axes[0].lines) == 2 and numbers[f'{run}/value'].tolist() == values.tolist()
    with pytest.raises(ValueError, match=f"{re.escape(str(run))} have no 'los': there are accuracy/top1, loss, lr"):
        read_curve(run, 'los')
    with pytest.raises(FileNotFoundError, match='has no log of a run'):
        read_curve(run / 'x', 'loss')


@pytest.mark.parametrize(('suffix', 'start'), [('.png', b'\x89PNG'), ('.svg', b'<?xml'), ('.pdf', b'%PDF')])
def test_files(run, suffix, start):
    file, again = run / f'a{suffix}', run / f'b/a{suffix}'
    for place in file, again:
        figure, numbers = draw_curves([run], 'loss')
        written = save_figure(figure, check_figure(place), numbers)
        assert written == [place, place.with_suffix('.npz')]
    assert file.read_bytes().startswith(start) and file.read_bytes() == again.read_bytes()  # no date, no random name
    assert np.load(file.with_suffix('.npz'))[f'{run}/step'].tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match='exists'):
        check_figure(file)
    assert check_figure(file, force=True) == file


def test_refuses_a_format(tmp_path):
    with pytest.raises(ValueError, match=r'a.jpg must end in one of .png, .svg, .pdf'):
        check_figure(tmp_path / 'a.jpg')
