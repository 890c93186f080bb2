"""A classifier from end to end: any split of the batch, and any interruption, gives the same weights."""

import json
import re
import shlex
import subprocess
import sys
import time

import pytest
import torch

from tests.support import NO_VALIDATION, REPOSITORY, as_arguments, short, succeeded, train_shortly

FOUR_EPOCHS = dict(epochs=4, train_dataloader__dataset__indices=32, **NO_VALIDATION)


def weights(folder, name='epoch_4.pth'):
    return torch.load(folder / name, weights_only=False)['state_dict']


DYING = """
import os
import signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
@HOOKS.register_module()
class Dying(Hook):
    def before_train_iter(self, runner, *_, **__):
        if runner.iter == 7 and os.environ['RANK'] == '1' and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0':
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope='module')
def whole(classifier, tmp_path_factory):
    """The folder of a run of four epochs by one process with 8 images at once."""
    return train_shortly(classifier, tmp_path_factory.mktemp('whole'), **FOUR_EPOCHS).work_dir


def test_any_split_of_the_batch(run_tool, trained, classifier, whole, tmp_path):
    """2 processes x 2 images x 2 accumulated over gloo, and 2 images x 4: the same weights, but for the order of the sums.

    One of the two is killed in the second epoch: torchrun starts both again, and they go on by themselves.
    """
    (tmp_path / 'dying.py').write_text(DYING)
    config = tmp_path / 'two.py'
    hooks = "custom_imports = dict(imports=['eca_mm', 'dying'])\ncustom_hooks = [dict(type='Dying')]"
    config.write_text(f'_base_ = {str(classifier)!r}\n{hooks}\ntrain_dataloader = dict(batch_size=2)')
    launcher = ['-m', 'torch.distributed.run', '--nproc-per-node', '2', '--standalone', '--max-restarts', '1']
    run = [config, '--work-dir', tmp_path / 'two', '--launcher', 'pytorch', '--checkpoint-every', '1e-9']
    run += ['--cfg-options', 'train_cfg.max_epochs=2']
    process = run_tool('train', *run, launcher=launcher, PYTHONPATH=str(tmp_path))
    assert '2 processes x 2 images x 2 accumulated = 8 images per optimiser step' in succeeded(process)
    assert re.search('resumed epoch: 1, iter: [567]', process.stdout), process.stdout
    trained('parts', **FOUR_EPOCHS | dict(epochs=2), train_dataloader__batch_size=2)
    start, one = weights(tmp_path / 'parts', 'epoch_1.pth'), weights(whole, 'epoch_2.pth')
    for folder in ('two', 'parts'):
        other = weights(tmp_path / folder, 'epoch_2.pth')
        for key, value in one.items():
            if value.is_floating_point():
                torch.testing.assert_close(other[key], value, rtol=1e-4, atol=1e-5)
        learnt, apart = ((one['head.fc.weight'] - w['head.fc.weight']).abs().max() for w in (start, other))
        assert learnt > 100 * apart


@pytest.mark.slow
def test_resumed_equals_uninterrupted(in_process, classifier, whole, tmp_path):
    """The same weights to the last bit, though killed (not asked) in the third epoch."""
    stopped = tmp_path / 'stopped'
    process = subprocess.Popen(
        [sys.executable, '-u', REPOSITORY / 'tools/train.py', classifier, '--work-dir', stopped],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (stopped / 'epoch_2.pth').exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    (stopped / 'epoch_3.pth').write_bytes((stopped / 'epoch_2.pth').read_bytes()[:1000])  # half of one
    screen = in_process('train', classifier, '--work-dir', stopped, '--resume', 'auto')
    assert 'resumed epoch: 2, iter: 8' in screen
    expected, got = weights(whole), weights(stopped)
    assert all(got[key].equal(expected[key]) for key in expected)


def test_seed_compile_and_the_command_to_test_again(in_process, classifier, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, 'compile', lambda function, **kwargs: compiled.append(kwargs) or function)
    run = ['train', classifier, '--work-dir', 'a b', '--seed', '3', '--compile']
    options = short(**NO_VALIDATION, epochs=1) | {'test_dataloader.dataset.indices': 8}
    screen = in_process(*run, *as_arguments(options), 'compile.backend=eager')
    assert compiled == [dict(backend='eager')]
    checkpoint = tmp_path / 'a b/epoch_1.pth'
    assert torch.load(checkpoint, weights_only=False)['meta']['seed'] == 3
    words = shlex.split(re.search('test again +(.*)', screen)[1])
    assert words == ['tools/test.py', f'a b/{classifier.name}', str(checkpoint)]
    assert 'accuracy/top1' in in_process('test', *words[1:])
    assert json.loads((tmp_path / 'a b/metrics.json').read_text())['images'] == 8


@pytest.mark.slow
def test_the_unchanged_recipe(in_process, imagenet_root, tmp_path):
    config, work = REPOSITORY / 'configs/imagenet/eca_resnet50.py', tmp_path / 'work'
    options = {f'{mode}_dataloader.dataset.indices': 8 for mode in ('train', 'val', 'test')}
    options |= {'images_per_step': 8, 'train_cfg.max_epochs': 1}
    run = ['--work-dir', work, '--data-root', imagenet_root, *as_arguments(options)]
    assert 'accuracy/top1' in in_process('train', config, *run)
    assert 'accuracy/top5' in in_process('test', config, work / 'epoch_1.pth', *run)
    written = json.loads((work / 'metrics.json').read_text())
    assert set(written['metrics']) == {'accuracy/top1', 'accuracy/top5'} and written['epoch'] == 1
    image = next((imagenet_root / 'val/n00000003').iterdir())
    in_process('predict', config, work / 'epoch_1.pth', image, '--out-dir', tmp_path / 'out')
    (prediction,) = json.loads((tmp_path / 'out/preds.json').read_text()).values()
    assert set(prediction) == {'pred_label', 'pred_score', 'pred_class'}
    assert len(list((tmp_path / 'out/vis').iterdir())) == 1


def test_refusals(refuse, classifier, tmp_path):
    """One sentence from each tool; what else is refused is tested where it is."""
    for arguments, parts in (
        (['--cfg-options', 'seed'], "KEY=VALUE, got 'seed'"),
        (['--cfg-options', 'model.backbone.kernel_size=(3,5'], '(3,5'),
        (['--cfg-options', 'model.backbone.kernel_size=4'], 'does not build a model: kernel_size must be'),
    ):
        assert parts in refuse('train', classifier, *arguments)
    assert 'checkpoint not found' in refuse('test', classifier, tmp_path / 'x.pth')
    assert 'no image at' in refuse('predict', classifier, tmp_path / 'x.pth', tmp_path)
