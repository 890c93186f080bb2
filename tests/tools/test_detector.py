"""The embedded default from end to end: train, test, predict, Ctrl-C and resume."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.support import FASTER, MASK, REPOSITORY, as_arguments, short, succeeded


def test_train_test_predict(in_process, shapes_root, tmp_path):
    """Boxes and masks: what is validated in training is what is tested, written and scored by pycocotools."""
    work, ten = tmp_path / 'work', {'test_dataloader.dataset.indices': 10}
    options = short(
        val_dataloader__dataset__indices=10, train_cfg__val_interval=2, train_dataloader__batch_size=4, pictures=2
    )
    screen = in_process('train', MASK, '--work-dir', work, *as_arguments(options))
    assert '1 process x 4 images x 2 accumulated = 8 images per optimiser step' in screen
    summary = screen[screen.index('\nTrained ') :]
    trained = {kind: float(re.search(rf'coco/{kind}_mAP_50 +(\S+)', summary)[1]) for kind in ('bbox', 'segm')}
    for folder in ('vis', 'preds'):
        assert len(list((work / 'pictures' / folder).iterdir())) == 2
    prediction = json.loads((work / 'pictures/preds/000001.json').read_text())
    assert len(prediction['masks']) == len(prediction['bboxes'])
    assert list(work.rglob('events.out.tfevents*'))

    checkpoint = work / 'epoch_2.pth'
    out = ['--out', tmp_path / 'out/p']
    screen = in_process('test', MASK, checkpoint, '--work-dir', work, *out, *as_arguments(ten))
    metrics = json.loads((work / 'metrics.json').read_text())
    assert metrics['images'] == 10 and metrics['checkpoint'] == str(checkpoint) and metrics['epoch'] == 2
    truth = COCO(shapes_root / 'annotations/instances_val.json')
    for kind, value in trained.items():
        assert metrics['metrics'][f'coco/{kind}_mAP_50'] == pytest.approx(value, abs=1e-4)
        assert f'coco/{kind}_mAP_50         {value:.4f}' in screen
        # As mmdet's metric, over all images that are annotated, though only ten are predicted.
        evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / f'out/p.{kind}.json')), kind)
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
        assert evaluation.stats[1] == pytest.approx(value, abs=6e-4)  # mmdet rounds to three decimals

    folder = tmp_path / 'images'
    folder.mkdir()
    for name in ('000001.png', '000002.png'):
        (folder / name).write_bytes((shapes_root / 'val' / name).read_bytes())
    (folder / 'broken.jpg').write_text('not an image')
    assert '2 images' in in_process('predict', MASK, checkpoint, folder, '--out-dir', tmp_path / 'out')
    assert sorted(f.name for f in (tmp_path / 'out/vis').iterdir()) == ['000001.png', '000002.png']
    prediction = json.loads((tmp_path / 'out/preds/000001.json').read_text())
    assert set(prediction) == {'labels', 'scores', 'bboxes', 'masks'}


def test_stopped_and_then_resumed(in_process, tmp_path, shapes_root):
    """In the second epoch, by a signal to all processes: a sentence says what to do, and doing it finishes the run."""
    options = short(pictures=None, default_hooks__logger__interval=1, train_cfg__val_interval=2, images_per_step=2)
    options['train_dataloader.dataset.indices'] = 12
    run = ['--work-dir', tmp_path / 'work', *as_arguments(options)]
    with (
        open(tmp_path / 'errors', 'w+') as errors,
        subprocess.Popen(
            [sys.executable, '-u', REPOSITORY / 'tools/train.py', FASTER, *run],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, 'SHAPES_ROOT': str(shapes_root)},
            start_new_session=True,
        ) as process,
    ):
        for line in process.stdout:
            if 'Epoch(train) [2][1/6]' in line:
                os.killpg(process.pid, signal.SIGTERM)  # as a scheduler does: the data loader's workers get it too
                break
        process.stdout.read()
        process.wait(120)
    errors = (tmp_path / 'errors').read_text()
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert 'SIGTERM: finishing this step' in errors and 'Traceback' not in errors
    stopped = re.search(
        r'stopped by SIGTERM in epoch 2 of 2, iteration (\d+) of 12\. .*resume_iter_\1\.pth is.*--resume', errors
    )
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # no worker outlived it

    screen, done = in_process('train', FASTER, '--resume', *run), int(stopped[1])
    assert f'resumed epoch: 1, iter: {done}' in screen
    assert f'Epoch(train) [2][{done - 5}/6]' in screen and f'[2][{done - 6}/6]' not in screen
    assert 'coco/bbox_mAP' in screen


@pytest.mark.slow
def test_the_shapes_are_learnt(run_tool, tmp_path):
    """The README's first command, with ResNet-18 for one of the three epochs, in steps of 4 images: AP50 was
    0.35 and 0.25 with two seeds.

    The command itself takes five times as long.
    """
    options = {
        'model.backbone.depth': 18,
        'model.neck.in_channels': '[64,128,256,512]',
        'images_per_step': 4,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'param_scheduler.1.T_max': 1,
    }
    screen = succeeded(run_tool('train', FASTER, '--work-dir', tmp_path / 'work', *as_arguments(options)))
    assert float(re.search(r'coco/bbox_mAP_50 +(\S+)', screen[screen.index('\nTrained ') :])[1]) >= 0.15


@pytest.mark.slow
def test_coco(in_process, coco_root, tmp_path):
    """One of the paper's configs on a real piece of COCO, the training images scaled down."""
    config = REPOSITORY / 'configs/mask_rcnn_eca_r50_fpn_1x.py'
    # After one step nothing is scored above mmdet's threshold, and there is no AP of nothing.
    detections = {'model.test_cfg.rcnn.score_thr': 0.0, 'model.test_cfg.rcnn.max_per_img': 5}
    detections |= {'model.test_cfg.rpn.max_per_img': 50, 'model.train_cfg.rcnn.sampler.num': 64}  # in less time
    options = {
        'backbone_weights': None,
        'model.backbone.norm_eval': False,
        'model.backbone.frozen_stages': -1,
        'train_dataloader.dataset.indices': 8,
        'val_dataloader.dataset.indices': 2,
        'train_cfg.max_epochs': 1,
        'train_dataloader.dataset.pipeline.2.scale': '(320,200)',
        'val_dataloader.dataset.pipeline.1.scale': '(320,200)',
    }
    work = ['--work-dir', tmp_path, '--data-root', coco_root]
    screen = in_process('train', config, *work, *as_arguments(options | detections))
    assert '1 process x 2 images x 4 accumulated = 8 images per optimiser step' in screen
    assert 'coco/bbox_mAP ' in screen and 'coco/segm_mAP ' in screen

    checkpoint, scale = tmp_path / 'epoch_1.pth', {'test_dataloader.dataset.pipeline.1.scale': '(320,200)'}
    two = detections | scale | {'test_dataloader.dataset.indices': 2}
    screen = in_process('test', config, checkpoint, *work, '--out', tmp_path / 'p', *as_arguments(two))
    assert 'coco/segm_mAP ' in screen and (tmp_path / 'p.segm.json').exists()
    image = next((coco_root / 'val2017').glob('*.jpg'))
    in_process('predict', config, checkpoint, image, '--out-dir', tmp_path / 'out', *as_arguments(scale))
    assert (tmp_path / 'out/vis' / image.name).exists()
