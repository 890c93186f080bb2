"""Which checkpoint a run goes on from, and what is said about it."""

import os

import pytest
import torch

from eca_mm.engine import Interrupted, load_config, train
from eca_mm.errors import MissingFileError, UserError
from eca_mm.models import ECAResNet
from tests.support import NO_VALIDATION, short


@pytest.fixture
def by_iteration(classifier, tmp_path):
    """The classifier trained for 4 iterations, with a checkpoint each."""
    file = tmp_path / 'by_iteration.py'
    file.write_text(f"""
_base_ = {str(classifier)!r}
images_per_step = None
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=4, val_interval=4)
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1))
param_scheduler = dict(_delete_=True, type='LinearLR', by_epoch=False, begin=0, end=4)
""")
    return file


def test_by_iteration(trained, by_iteration, tmp_path, capsys):
    stop = [dict(type='Interrupt', after=3)]
    with pytest.raises(Interrupted, match=r'iteration 2 of 4\. .*iter_3\.pth is the last.* with --resume goes on'):
        trained(config=by_iteration, epochs=None, custom_hooks=stop)
    whole = torch.load(tmp_path / 'work/iter_2.pth', weights_only=False)['meta']
    assert trained(config=by_iteration, epochs=None, resume='auto').checkpoint.name == 'iter_4.pth'
    assert 'resumed epoch: 0, iter: 3' in capsys.readouterr().out
    assert torch.load(tmp_path / 'work/iter_2.pth', weights_only=False)['meta']['time'] == whole['time']


def test_in_the_middle_of_an_epoch(trained):
    """Its checkpoints are no place to resume from, and neither Ctrl-C nor --resume says otherwise."""
    changes = dict(default_hooks__checkpoint__by_epoch=False)
    with pytest.raises(Interrupted, match=r'iter_1\.pth is the last checkpoint; it can be tested, but not resumed'):
        trained(**changes, custom_hooks=[dict(type='Interrupt', after=1)])
    with pytest.raises(UserError, match=r'--resume: .* has iter_1\.pth, but no complete epoch_\*\.pth to go on from'):
        trained(**changes, resume='auto')


def test_nothing_is_started_anew(classifier, trained, tmp_path):
    """No file: a new run; only others or damaged ones: a sentence; an older one: that, with a warning."""
    (tmp_path / 'best_accuracy_epoch_1.pth').write_bytes(b'of no use to resume')
    with pytest.raises(MissingFileError, match='nowhere'):  # beyond looking for a checkpoint
        trained('', resume='auto', load_from='nowhere.pth')
    for name in ('mine.pth', 'epoch_3.pth'):
        (tmp_path / name).write_bytes(b'half')
        with pytest.raises(UserError, match=rf'has .*{name}.* but no complete'):
            trained('', resume='auto')
    torch.save(dict(state_dict={}), tmp_path / 'epoch_2.pth')
    os.utime(tmp_path / 'epoch_2.pth', (1, 1))
    cfg = load_config(classifier, work_dir=str(tmp_path), cfg_options=short())
    with (
        pytest.warns(UserWarning, match=r'epoch_3\.pth is damaged, passed over; resuming from the older .*epoch_2'),
        pytest.raises(UserError, match='epoch_2'),
    ):
        train(cfg, resume='auto')


def test_weights_alone(trained, tmp_path):
    checkpoint = trained(**NO_VALIDATION, epochs=1).checkpoint
    state = torch.load(checkpoint, weights_only=False)
    torch.save(dict(state_dict=state['state_dict']), tmp_path / 'bare.pth')
    with pytest.raises(UserError, match=r'bare\.pth has no meta, message_hub, optimizer: it holds weights'):
        trained('other', resume=str(tmp_path / 'bare.pth'))
    nowhere = dict(type='Pretrained', checkpoint='nowhere.pth')
    started = trained('other', **NO_VALIDATION, load_from=str(tmp_path / 'bare.pth'), model__backbone__init_cfg=nowhere)
    assert started.checkpoint.name == 'epoch_2.pth' and not started.finished_before


def test_load_from_what_lacks_attention(trained, tmp_path):
    """Then the rest of the backbone comes from its own weights, or their absence is a sentence."""
    backbone = ECAResNet(18, 3)
    weights = {key: torch.full_like(value, 0.25) for key, value in backbone.state_dict().items()}
    plain = {f'backbone.{key}': value / 2 for key, value in weights.items() if '.eca.' not in key}
    torch.save(weights, tmp_path / 'backbone.pth')
    torch.save(plain, tmp_path / 'plain.pth')
    changes = dict(NO_VALIDATION, epochs=1, load_from=str(tmp_path / 'plain.pth'), optim_wrapper__optimizer__lr=0.0)
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth'))
    checkpoint = trained(**changes, model__backbone__init_cfg=init).checkpoint
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    assert (state['backbone.layer1.0.eca.conv.weight'] == 0.25).all() and (
        state['backbone.conv1.weight'] == 0.125
    ).all()
    with pytest.raises(MissingFileError, match='backbone weights not found: nowhere'):
        trained('other', **changes, model__backbone__init_cfg=dict(type='Pretrained', checkpoint='nowhere.pth'))


def test_files_of_another_run(trained, tmp_path):
    """A new run in a used folder does not take them for its own."""
    (tmp_path / 'work').mkdir()
    torch.save(dict(state_dict={}), tmp_path / 'work/epoch_9.pth')
    with pytest.raises(Interrupted, match='before the first checkpoint of this run: nothing to resume'):
        trained(custom_hooks=[dict(type='Interrupt', after=1)])
    never = dict(default_hooks__checkpoint__interval=9, default_hooks__checkpoint__save_last=False)
    assert trained(**NO_VALIDATION, **never).checkpoint is None


def test_from_elsewhere(trained, tmp_path):
    """A resumed run that is interrupted at once goes on from where it came from, which is named."""
    trained('first dir', **NO_VALIDATION, epochs=1)
    checkpoint = tmp_path / 'first dir/epoch_1.pth'
    with pytest.raises(Interrupted, match=rf"in epoch 2 of 2.*--resume '{checkpoint}' goes on from it"):
        trained('second', resume=str(checkpoint), custom_hooks=[dict(type='Interrupt', after=3)])


def test_another_dataset(trained):
    """Its epochs end elsewhere."""
    trained(**NO_VALIDATION, epochs=1)
    with pytest.raises(UserError, match='end at iteration 2, this run has it at 3: resume from the end of an epoch'):
        trained(resume='auto', train_dataloader__dataset__indices=24)


def test_a_finished_run(trained):
    assert 'accuracy/top1' in str(trained(train_cfg__val_interval=2))
    summary = trained(resume='auto')
    assert summary.metrics == {} and 'was finished already: nothing was trained' in str(summary)


def test_the_batch_must_be_the_same(trained):
    trained(**NO_VALIDATION, epochs=1)
    with pytest.raises(
        UserError,
        match='was trained with 1 process x 8 images x 1 accumulated = 8 .*, this run has 1 process x 4 images x 2 accumulated',
    ):
        trained(**NO_VALIDATION, resume='auto', train_dataloader__batch_size=4)


def test_weights_of_another_network(trained, tmp_path):
    torch.save(dict(state_dict=dict(w=torch.ones(1)), meta={}), tmp_path / 'other.pth')
    with pytest.raises(UserError, match='other.pth does not fit'):
        trained(resume=str(tmp_path / 'other.pth'))
