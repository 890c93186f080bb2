"""The benchmark: what it measures, in which order, and what it makes of it. Nothing here depends on a time."""

import re
import weakref

import pytest
import torch
from torch import nn

from eca_mm.analysis import speed
from eca_mm.analysis.memory import peak_of_cpu, saved_for_backward
from eca_mm.analysis.speed import BenchmarkReport, Line, benchmark, interleave, summarise
from eca_mm.analysis.workload import BenchmarkModel, BenchmarkSettings, Workload
from eca_mm.engine import Interrupted, load_config
from eca_mm.engine.model import build_model
from eca_mm.paper.benchmark_models import benchmark_models, everything
from tests.support import REPOSITORY


def tiny(width):
    """A classifier of 8 x 8 pixels."""
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(36 * width, 1000))


TINY = [BenchmarkModel('plain', 'plain', lambda: tiny(4)), BenchmarkModel('wide', 'plain', lambda: tiny(8))]
SHORT = dict(size=8, batch=2, rounds=2, iterations=1)


@pytest.mark.parametrize(('settings', 'sentence'), [
    (dict(batch=0), 'batch must be at least 1, got 0'),
    (dict(threads=-1), 'threads must be at least 1, got -1'),
    (dict(rounds=1), 'rounds must be at least 2'),
    (dict(device='cuda'), 'device cuda needs a GPU'),
    (dict(batch=1, size=32), 'choose batch 2 or size 64'),
])  # fmt: skip
def test_wrong_settings(settings, sentence, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=sentence):
        BenchmarkSettings(**settings)


def test_file_name_states_the_settings():
    name = r'speed-cpu-float32-contiguous-b8-torch[\d.]+-\d{8}_\d{6}\.csv'
    assert re.fullmatch(name, BenchmarkSettings().file_name())
    name = BenchmarkSettings(amp=True, channels_last=True, compile=True, batch=2).file_name()
    assert name.startswith('speed-cpu-amp-bfloat16-channels_last-compile-b2-torch')


def test_memory_by_hand():
    """Kept are the images (3 x 4 floats) and the ReLU's output (3 x 8), which the second layer shares."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    images = torch.randn(3, 4)
    assert saved_for_backward(model, lambda: model(images).sum()) == 4 * (3 * 4 + 3 * 8)


def test_what_was_saved_is_let_go():
    """An operator that saves its own output kept itself, and all before it: 10 GB in a benchmark."""
    model, outputs = nn.Sequential(nn.Linear(3, 4), nn.ReLU()), []
    model[1].register_forward_hook(lambda module, inputs, y: outputs.append(weakref.ref(y)))
    saved_for_backward(model, lambda: model(torch.rand(2, 3)).sum())
    assert outputs[0]() is None


def test_peak_by_hand():
    """Two matrices of 4 MiB at once, the second made before the first is freed; then a third in its place."""
    x = torch.ones(2**20)

    def step():
        y = x + 1
        y = y + 1
        del y
        return x * 2

    assert peak_of_cpu(step) == pytest.approx(2 * 2**22, abs=100)  # and the numbers 1 and 2


def test_attention_costs_no_memory():
    """The layers, and timm's, keep one more copy of every block's output; the fast paths keep what the plain network does."""
    saved = {}
    for model in benchmark_models(['imagenet/eca_resnet50', 'imagenet/eca_resnet50@layers', 'timm/ecaresnet50']):
        workload = Workload(model, BenchmarkSettings(batch=1))  # of 224 x 224 pixels
        for mode in ('train', 'finetune'):
            workload._set(mode)
            saved[model.name, mode] = saved_for_backward(workload.model, workload.loss)
    plain = saved['imagenet/resnet50', 'train']
    assert saved['timm/resnet50', 'train'] == pytest.approx(plain, rel=1e-3)
    for name in ('timm/ecaresnet50', 'imagenet/eca_resnet50@layers'):
        assert saved[name, 'train'] / plain == pytest.approx(1.258, abs=2e-3)
    assert saved['imagenet/eca_resnet50', 'train'] / plain == pytest.approx(1, abs=0.002)
    assert saved['imagenet/eca_resnet50', 'finetune'] / plain < 0.9


def test_every_model_once_a_round(capsys):
    calls = []
    turns = {name: lambda name=name: calls.append(name) or len(calls) for name in 'abc'}
    assert list(interleave(turns, 2)) == [{'a': 4, 'b': 5, 'c': 6}, {'a': 7, 'b': 8, 'c': 9}]  # 1 to 3 warm up
    assert calls == list('abcabcabc')
    assert 'ETA' in capsys.readouterr().err


def test_statistics_by_hand():
    """The machine slows down by half each round: speeds spread, ratios do not."""
    rounds = [{('plain', 'train'): s, ('eca', 'train'): 2 * s} for s in (1.0, 2.0, 4.0)]
    plain, eca = summarise(rounds, {'plain': 'plain', 'eca': 'plain'}, images=8)
    assert plain == Line('plain', 'train', 'plain', 4.0, 3.0, 6.0, 1.0, 1.0, 1.0)
    assert eca == Line('eca', 'train', 'plain', 2.0, 1.5, 3.0, 0.5, 0.5, 0.5)


@pytest.mark.parametrize('options', [{}, dict(amp=True, channels_last=True)])
def test_tiny(options, tmp_path):
    settings = BenchmarkSettings(**SHORT, **options, modes=['train', 'finetune', 'inference'])
    report = benchmark(TINY, settings, tmp_path / 'new')
    assert [(x.model, x.mode, x.plain) for x in report.lines] == [
        (name, mode, 'plain') for mode in ('train', 'finetune', 'inference') for name in ('plain', 'wide')
    ]
    plain, wide, *_, inference, _ = report.lines
    assert plain.ratio == plain.ratio_q25 == 1 and wide.images_per_s > 0
    assert 0 < plain.saved_for_backward_MiB < wide.saved_for_backward_MiB
    assert inference.saved_for_backward_MiB is None
    assert 0 < inference.peak_memory_MiB < plain.peak_memory_MiB < wide.peak_memory_MiB
    assert [*(tmp_path / 'new').iterdir()] == [report.file]
    header = report.file.read_text()
    assert '\n# rounds: 2\n' in header and f'\n# torch: {torch.__version__}\n' in header
    assert 'wide' in str(report)


def test_torch_is_left_as_it_was(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(torch, 'compile', lambda model: seen.append(torch._dynamo.config.cache_size_limit) or model)

    def state():
        return torch.get_num_threads(), torch._dynamo.config.cache_size_limit, torch.get_rng_state().tolist()

    before = state()
    settings = BenchmarkSettings(**SHORT, modes=['train'], compile=True, threads=before[0] + 1)
    report = benchmark(TINY, settings, tmp_path)
    assert state() == before
    assert f'\n# threads: {before[0] + 1}\n' in report.file.read_text() and seen == [1000, 1000]


def test_training_changes_no_weight():
    workload = Workload(TINY[0], BenchmarkSettings(**SHORT))
    before = [p.clone() for p in workload.model.parameters()]
    workload.turn('train')
    assert all(map(torch.equal, before, workload.model.parameters()))
    assert all(s['momentum_buffer'].any() for s in workload.optimizer.state.values())


def test_finetuning_leaves_the_statistics():
    workload = Workload(TINY[0], BenchmarkSettings(**SHORT))
    before = [b.clone() for b in workload.model.buffers()]
    workload.turn('finetune')
    assert workload.model.training and all(map(torch.equal, before, workload.model.buffers()))
    workload.turn('train')
    assert not any(map(torch.equal, before, workload.model.buffers()))


def test_everything():
    """Both memory formats and a detector on a CPU; on a GPU mixed precision, compiled, and training detectors too."""
    about = [(len(models), s.channels_last, s.batch, [*s.modes]) for models, s in everything('cpu')]
    modes = ['train', 'finetune', 'inference']
    assert about == [(8, False, 8, modes), (8, True, 8, modes), (3, False, 1, ['inference'])]


def test_layer_by_layer():
    fast, layers = benchmark_models(['faster_rcnn_eca_r50_fpn_1x', 'faster_rcnn_eca_r50_fpn_1x@layers'])[1:]
    assert fast.baseline == layers.baseline == 'faster_rcnn_r50_fpn_1x'
    assert [m.build().backbone.layer1[0].fused for m in (fast, layers)] == [True, False]


@pytest.mark.parametrize(('rounds', 'written'), [(1, False), (2, True)])
def test_interrupted(rounds, written, monkeypatch, tmp_path):
    """Ctrl-C in the round after the given number of complete ones."""
    turn, left = Workload.turn, iter(range(2 * (1 + rounds) + 1))

    def interrupted(self, mode):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return turn(self, mode)

    monkeypatch.setattr(Workload, 'turn', interrupted)
    with pytest.raises(Interrupted, match=f'interrupted after {rounds} of 9 rounds'):
        benchmark(TINY, BenchmarkSettings(**SHORT | dict(rounds=9), modes=['train']), tmp_path / 'b.csv')
    assert (tmp_path / 'b.csv').is_file() == written
    assert not written or '# rounds: 2\n' in (tmp_path / 'b.csv').read_text()


@pytest.mark.parametrize('where', ['__init__', 'turn'])
def test_out_of_memory(where, monkeypatch, tmp_path):
    def full(self, *args):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(Workload, where, full)
    with pytest.raises(ValueError, match='batch 2 does not fit on CPU .*: choose a smaller one'):
        benchmark(TINY, BenchmarkSettings(**SHORT), tmp_path)


def test_what_exists(tmp_path):
    file = tmp_path / 'mine.csv'
    file.write_text('precious')
    with pytest.raises(FileExistsError, match=r'mine\.csv exists: .*force=True'):
        benchmark(TINY, BenchmarkSettings(**SHORT), file)
    with pytest.raises(ValueError, match=r'folder cannot be made a folder'):
        benchmark(TINY, BenchmarkSettings(**SHORT), file / 'folder')
    assert file.read_text() == 'precious'
    assert benchmark(TINY, BenchmarkSettings(**SHORT, modes=['inference']), file, force=True).file == file
    assert file.read_text().startswith('# device: ')


def test_detector():
    small = {'model.backbone.depth': 18, 'model.neck.in_channels': [64, 128, 256, 512]}
    small |= {'model.train_cfg.rpn_proposal.max_per_img': 20, 'model.test_cfg.rpn.max_per_img': 20}
    small |= {'model.train_cfg.rcnn.sampler.num': 16}
    cfg = load_config(REPOSITORY / 'configs/mask_rcnn_r50_fpn_1x.py', cfg_options=small)
    model = BenchmarkModel('detector', 'detector', lambda: build_model(cfg), detector=True)
    workload = Workload(model, BenchmarkSettings(**SHORT | dict(size=64)))
    assert workload.turn('train') > 0 and workload.turn('inference') > 0
    assert workload.memory('train')['saved_for_backward_MiB'] > 1


def test_tool(in_process, tmp_path):
    options = '--batch 1 --size 32 --rounds 2 --iterations 1 --modes inference --device cpu --out new/speed.csv'
    assert 'written: new/speed.csv' in in_process('benchmark', 'imagenet/eca_resnet50', *options.split())
    lines = (tmp_path / 'new/speed.csv').read_text().splitlines()[-2:]
    assert [line.split(',')[:3] for line in lines] == [
        [f'imagenet/{name}', 'inference', 'imagenet/resnet50'] for name in ('resnet50', 'eca_resnet50')
    ]


def test_tool_refuses(refuse):
    assert 'did you mean imagenet/eca_resnet50' in refuse('benchmark', 'imagenet/eca_resnet5')
    assert 'batch must be at least 1, got 0' in refuse('benchmark', '--batch', 0)
    for option in ('--detectors', '--no-peers'):
        assert 'leave them out beside names' in refuse('benchmark', 'imagenet/resnet50', option)


@pytest.mark.parametrize('options', [
    'imagenet/resnet50', '--detectors', '--no-peers', '--out x.csv', '--modes train', '--batch 8', '--size 64', '--iterations 5',
    '--amp', '--channels-last', '--compile', '--threads 1',
])  # fmt: skip
def test_everything_is_measured_its_own_way(options, refuse, monkeypatch):
    monkeypatch.setattr(speed, 'benchmark', None)  # which takes minutes
    assert 'leave out all but --device, --rounds and --out' in refuse('benchmark', '--everything', *options.split())


@pytest.mark.parametrize(('options', 'rounds'), [((), 15), (('--rounds', 3), 3)])
def test_rounds_of_everything(options, rounds, in_process, monkeypatch, tmp_path):
    measured = []
    report = BenchmarkReport(tmp_path / 'x.csv', {}, [Line('m', 'train', 'm', *[1.0] * 6)])
    monkeypatch.setattr(speed, 'benchmark', lambda models, settings, out: measured.append(settings) or report)
    in_process('benchmark', '--everything', '--device', 'cpu', *options)
    assert [settings.rounds for settings in measured] == [rounds] * 3
