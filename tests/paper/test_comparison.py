"""The comparison of attention layers: names, statistics, and a small one from end to end."""

import re

import numpy as np
import pytest
from scipy import stats

from eca_mm.engine import load_config
from eca_mm.errors import UserError
from eca_mm.paper.comparison import LAYERS, Result, compare, contender, summarise
from eca_mm.paper.report.comparison import write_comparison
from tests.support import REPOSITORY, as_arguments

SMALL = {
    'model.backbone.base_channels': 4,
    'model.backbone.stem_channels': 4,
    'model.head.in_channels': 32,
    'images_per_step': 8,
    'train_cfg.max_epochs': 1,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': False,
    'train_dataloader.dataset.indices': 16,
    'test_dataloader.dataset.indices': 10,
    'default_hooks.logger.interval': 1,
}


@pytest.mark.parametrize(
    ('text', 'layer'),
    [
        ('plain', None),
        ('ECA', dict(type='eca_mm.ECALayer')),
        ('eca-ns:kernel_size=3', dict(type='eca_mm.ECANSLayer', kernel_size=3)),
        ('SELayer:ratio=8', dict(type='eca_mm.SELayer', ratio=8)),
        ('ContextBlock:ratio=0.25', dict(type='ContextBlock', ratio=0.25)),
    ],
)
def test_names(text, layer):
    assert contender(text) == (text, layer)


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('CBMA', "did you mean 'cbam'"),
        ('nothing.like.it', 'There are plain, CBAM'),
        ('ECA:3', 'KEY=VALUE'),
        ('ECA:kernel_size=__import__("os")', 'KEY=VALUE'),
        ('ECA:kernel_size=3)+f(', 'KEY=VALUE'),
        ("ECA:type='x'", 'options of the layer'),
        ('ECA:in_channels=3', 'options of the layer'),
    ],
)
def test_unknown_names(text, sentence):
    with pytest.raises(UserError, match=sentence):
        contender(text)


@pytest.mark.parametrize(
    ('config', 'name', 'sentence'),
    [
        ('faster_rcnn_se_r50_fpn_1x.py', 'SE', 'classifiers are compared by their top-1 accuracy'),
        ('comparison/shapes.py', 'ECA:kernel_size=4', 'odd integer, or None for Eq. 9, got 4$'),
        (
            'comparison/shapes.py',
            'mmpretrain.SELayer',
            'mmpretrain has no layer .SELayer.; this package has eca_mm.SELayer$',
        ),
        ('imagenet/eca_resnet50.py', 'SE', r"'attention'.*; eca_mm.AttentionResNet and its like have one$"),
    ],
)
def test_what_cannot_be_compared(config, name, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        compare(lambda: load_config(REPOSITORY / 'configs' / config), ['plain', name], [0], tmp_path)


def test_statistics():
    """Against scipy's test of two related samples and its confidence interval."""
    rng = np.random.default_rng(0)
    plain, other = rng.normal(80, 1, 5), rng.normal(81, 2, 5)
    results = [
        Result(name, 1, dict(enumerate(values.tolist())), dict.fromkeys(range(5), seconds))
        for name, values, seconds in (('plain', plain, 0.1), ('other', other, 0.15))
    ]
    first, second = summarise(results)
    expected = stats.ttest_rel(other, plain)
    interval = expected.confidence_interval(0.95)
    assert (first.difference, first.interval, first.p, first.slower) == (None, None, None, 1)
    assert (second.mean, second.std) == pytest.approx((other.mean(), other.std(ddof=1)))
    assert second.p == pytest.approx(expected.pvalue)
    assert second.difference - second.interval == pytest.approx(interval.low)
    assert second.difference + second.interval == pytest.approx(interval.high)
    assert second.slower == pytest.approx(1.5)
    (alone,) = summarise([Result('plain', 1, {0: 80.0}, {0: 0.1})])
    assert alone.std is None


def test_the_page_has_one_figure_in_both_colour_schemes(tmp_path):
    """On no ground of its own; all of its text, marks and bars in the page's ink, but for a colour for each seed."""
    results = [
        Result(name, 1, {0: top1, 1: top1 + 1}, {0: 0.1, 1: 0.1}) for name, top1 in (('plain', 80.0), ('ECA', 81.0))
    ]
    write_comparison(results, tmp_path, 'Title', {})
    page = (tmp_path / 'index.html').read_text()
    svg = page[page.index('<svg') : page.index('</svg>')]
    assert all('fill: var(--ink)' in text for text in re.findall('<text[^>]*>', svg))
    assert len(set(re.findall('#[0-9a-f]{6}', svg))) == 2 and not re.search('#(f{6}|0{6})', svg)
    assert '<svg id="accuracy" viewBox="0 0 ' in svg and '>81.50</text>' in svg


def test_tool(in_process, refuse, tmp_path):
    """Two layers, two seeds; what is finished is not done again, another recipe is refused."""
    run = ['compare', '--seeds', '0', '1', '--layers', 'plain', 'ECA:kernel_size=3', '--work-dir', tmp_path / 'work']
    screen = in_process(*run, *as_arguments(SMALL))
    page = (tmp_path / 'work/index.html').read_text()
    assert screen.count('% top-1') == 4 and 'ECA:kernel_size=3' in page and '<svg' in page
    lines = (tmp_path / 'work/runs.csv').read_text().splitlines()
    assert len(lines) == 5 and lines[0] == 'name,parameters,seed,top1,seconds_per_step'
    with np.load(tmp_path / 'work/accuracy.npz') as numbers:
        assert numbers['plain/seed'].tolist() == [0, 1]
    logs = sorted((tmp_path / 'work').rglob('scalars.json'))
    again = in_process(*run, *as_arguments(SMALL))
    assert again.startswith('plain, seed 0: ') and screen.endswith(again[again.index('\n\n') :])
    assert sorted((tmp_path / 'work').rglob('scalars.json')) == logs
    assert 'another recipe' in refuse(*run, *as_arguments(SMALL), 'optim_wrapper.optimizer.lr=0.2')
    assert 'twice' in refuse('compare', '--layers', 'plain', 'plain')
    assert 'twice' in refuse('compare', '--seeds', 1, 0, 1)
    assert 'ECAResNet' in refuse('compare', REPOSITORY / 'configs/imagenet/eca_resnet50.py')


def test_all_layers_are_there():
    assert {'SE', 'ECA', 'ECANS', 'CBAM', 'GC', 'SimAM', 'GSoP', 'ECASpatial'} <= set(LAYERS)
