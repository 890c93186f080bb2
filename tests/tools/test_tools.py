"""The tools from end to end, started as a user starts them."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS, MODELS, init_default_scope
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eca_mm.convert import convert_checkpoint
from eca_mm.datasets import ShapesDataset
from eca_mm.engine import Interrupted, Summary, load_config, train
from eca_mm.models import ECAResNet
from tests.support import REPOSITORY, quietly, succeeded

FASTER = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_shapes.py'
MASK = REPOSITORY / 'configs/mask_rcnn_eca_r50_fpn_shapes.py'
# Two steps of 8 images an epoch and ten images to validate: seconds.
SHORT = [
    '--cfg-options',
    'train_dataloader.dataset.indices=16',
    'val_dataloader.dataset.indices=10',
    'test_dataloader.dataset.indices=10',
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=2',
]


@pytest.fixture
def classifier(tmp_path, imagenet_root):
    """A config of a small classifier: our ImageNet recipe with 32 pictures of 32 x 32 pixels and 8 images per step.

    Batch norm is frozen, so that any split of the batch computes the same, and its random statistics are meant.
    """
    file = tmp_path / 'classifier.py'
    file.write_text(f"""
_base_ = {str(REPOSITORY / 'configs/imagenet/eca_resnet50.py')!r}
images_per_step = 8
model = dict(
    backbone=dict(
        depth=18, kernel_size=3, norm_eval=True, frozen_stages=0, init_cfg=dict(type='Kaiming', layer='Conv2d')
    ),
    head=dict(in_channels=512, topk=(1, 5)),
)
pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]
data = dict(data_root={str(imagenet_root)!r}, indices=32, pipeline=pipeline)
train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=4, val_interval=4)
param_scheduler = dict(milestones=[2])
optim_wrapper = dict(optimizer=dict(lr=0.001))
""")
    return file


@HOOKS.register_module(force=True)
class Interrupt(Hook):
    """Ctrl-C after an iteration."""

    priority = 'LOWEST'  # after the checkpoint's

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, *_, **__):
        if runner.iter + 1 == self.after:
            raise KeyboardInterrupt


def options(epochs=2, **changes):
    """Two iterations an epoch, of 8 images each."""
    short = {'train_dataloader.dataset.indices': 16, 'val_dataloader.dataset.indices': 8}
    if epochs:
        short['train_cfg.max_epochs'] = epochs
    return {**short, **{key.replace('__', '.'): value for key, value in changes.items()}}


NO_VALIDATION = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)


@pytest.fixture
def trained(classifier, tmp_path, monkeypatch):
    """Trains the classifier in this process, which spares the imports; returns the summary."""

    def run(work='work', config=classifier, resume=None, **changes):
        monkeypatch.setattr(MessageHub, '_instance_dict', OrderedDict())  # runs of one second would share theirs
        cfg = load_config(config, work_dir=str(tmp_path / work), cfg_options=options(**changes))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return train(cfg, resume=resume)

    return run


@pytest.fixture
def in_process(monkeypatch, tmp_path, capsys):
    """Runs a tool in this process; returns what it printed."""

    def run(name, *args):
        monkeypatch.setattr(MessageHub, '_instance_dict', OrderedDict())
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(REPOSITORY / 'tools')
        monkeypatch.setattr('sys.argv', [name, *map(str, args)])
        quietly(REPOSITORY / 'tools' / f'{name}.py')
        return capsys.readouterr().out

    return run


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


def weights(folder, name='epoch_4.pth'):
    return torch.load(folder / name, weights_only=False)['state_dict']


class TestDetector:
    def test_train_test_predict(self, run_tool, shapes_root, tmp_path):
        work = tmp_path / 'work'
        screen = succeeded(run_tool('train', FASTER, '--work-dir', work, *SHORT))
        assert '1 process x 8 images x 1 accumulated = 8 images per optimiser step' in screen
        assert re.search(r'Epoch\(train\).* eta: ', screen)
        summary = screen[screen.index('\nTrained ') :]
        trained = float(re.search(r'coco/bbox_mAP_50 +(\S+)', summary)[1])
        assert len(list((work / 'pictures/vis').iterdir())) == 8
        assert len(list((work / 'pictures/preds').iterdir())) == 8
        assert list(work.rglob('events.out.tfevents*'))

        checkpoint = work / 'epoch_2.pth'
        short = [*SHORT[:1], 'test_dataloader.dataset.indices=10']
        screen = succeeded(
            run_tool('test', FASTER, checkpoint, '--work-dir', work, '--out', tmp_path / 'out/p', *short)
        )
        metrics = json.loads((work / 'metrics.json').read_text())
        assert metrics['metrics']['coco/bbox_mAP_50'] == pytest.approx(trained, abs=1e-4)
        assert metrics['images'] == 10 and metrics['checkpoint'] == str(checkpoint)
        assert f'coco/bbox_mAP_50         {trained:.4f}' in screen

        truth = COCO(shapes_root / 'annotations/instances_val.json')
        evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / 'out/p.bbox.json')), 'bbox')
        evaluation.params.imgIds = sorted(truth.imgs)[:10]
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
        assert evaluation.stats[1] == pytest.approx(trained, abs=1e-3)

        folder = tmp_path / 'images'
        folder.mkdir()
        for name in ('000001.png', '000002.png'):
            (folder / name).write_bytes((shapes_root / 'val' / name).read_bytes())
        (folder / 'broken.jpg').write_text('not an image')
        (folder / 'half.png').write_bytes((shapes_root / 'val/000003.png').read_bytes()[:1000])
        process = run_tool('predict', FASTER, checkpoint, folder, '--out-dir', tmp_path / 'out', '--device', 'cpu')
        assert '2 images' in succeeded(process) and 'broken.jpg' in process.stderr and 'half.png' in process.stderr
        assert sorted(f.name for f in (tmp_path / 'out/vis').iterdir()) == ['000001.png', '000002.png']
        prediction = json.loads((tmp_path / 'out/preds/000001.json').read_text())
        assert set(prediction) == {'labels', 'scores', 'bboxes'}

    def test_masks(self, run_tool, shapes_root, tmp_path):
        work = tmp_path / 'work'
        summary = succeeded(run_tool('train', MASK, '--work-dir', work, *SHORT, 'pictures=1'))
        assert 'coco/segm_mAP ' in summary and 'coco/bbox_mAP ' in summary
        prediction = json.loads((work / 'pictures/preds/000001.json').read_text())
        assert len(prediction['masks']) == len(prediction['bboxes'])

    def test_accumulation_is_logged(self, run_tool, tmp_path):
        screen = succeeded(
            run_tool('train', FASTER, '--work-dir', tmp_path, *SHORT, 'train_dataloader.batch_size=4', 'pictures=None')
        )
        assert '1 process x 4 images x 2 accumulated = 8 images per optimiser step' in screen

    def test_a_kill_and_then_resume(self, run_tool, tmp_path):
        """Ctrl-C in the second epoch: a sentence says what to do, and doing it finishes the run."""
        options = [
            *SHORT,
            'train_cfg.max_epochs=3',
            'train_cfg.val_interval=3',
            'pictures=None',
            'default_hooks.logger.interval=1',
            'train_dataloader.dataset.indices=40',
        ]
        with (
            open(tmp_path / 'errors', 'w+') as errors,
            subprocess.Popen(
                [sys.executable, '-u', REPOSITORY / 'tools/train.py', FASTER, '--work-dir', tmp_path, *options],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, 'SHAPES_ROOT': str(tmp_path / 's')},
                start_new_session=True,
                # A shell that starts the tests in the background has them, and hence this, ignore Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            ) as process,
        ):
            for line in process.stdout:
                if 'Epoch(train) [2][2/5]' in line:
                    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the data loader's workers get it too
                    break
            process.stdout.read()
            process.wait(120)
        errors = (tmp_path / 'errors').read_text()
        assert process.returncode == 130, errors
        assert re.search(r'interrupted in epoch 2 of 3.*epoch_1\.pth is the last checkpoint.*--resume', errors)
        assert 'Traceback' not in errors

        screen = succeeded(run_tool('train', FASTER, '--work-dir', tmp_path, '--resume', *options))
        assert 'resumed epoch: 1, iter: 5' in screen
        assert 'Epoch(train) [2][1/5]' in screen and 'Epoch(train) [1][' not in screen
        assert 'coco/bbox_mAP' in screen

    @pytest.mark.parametrize(
        ('arguments', 'parts'),
        [
            (['--cfg-options', 'model.backbone.kernal_size=3'], ['kernal_size']),
            (['--cfg-options', 'model.backbone.type=ECAResnet'], ['ECAResnet']),
            (['--cfg-options', 'model.backbone.kernel_size=4'], ['odd', '4']),
            (['--cfg-options', 'model.backbone.depth=20'], ['depth', '20']),
            (['--cfg-options', 'optimwrapper.optimizer.lr=1'], ["did you mean 'optim_wrapper'"]),
            (['--cfg-options', 'images_per_step=8.5'], ['8.5']),
            (['--cfg-options', 'optim_wrapper.optimizer.lr=-1'], ['optimiser', '-1']),
            (['--cfg-options', 'train_dataloader.sampler.type=InfiniteSampler'], ['InfiniteSampler']),
            (['--cfg-options', 'train_dataloader.dataset.split=test'], ["'test'"]),
            (['--cfg-options', 'seed'], ["KEY=VALUE, got 'seed'"]),
            (['--cfg-options', 'model.backbone.kernel_size=(3,5'], ['--cfg-options', '(3,5']),
            (['--cfg-options', 'param_scheduler.0.ende=5'], ['schedule', 'ende']),
            (['--cfg-options', 'param_scheduler.0.type=LinearLRR'], ['schedule', 'LinearLRR']),
            (['--cfg-options', 'backbone_weights=123'], ['backbone weights must be', '123']),
            (['--cfg-options', 'model=None'], ['has no model']),
            (['--cfg-options', 'data_root=x'], ['--data-root']),
            (['--cfg-options', 'pictures=all'], ['pictures', "'all'"]),
            (['--cfg-options', 'train_dataloader.batch_size=0'], ['batch_size must be a positive integer, got 0']),
            (['--cfg-options', 'default_hooks.timer.type=Tmer'], ['does not build the hooks', 'Tmer']),
            (['--cfg-options', 'randomness.sed=1'], ['does not build a seed', 'sed']),
            (['--cfg-options', 'val_evaluator.ann_file=x.json'], ['does not build an evaluator', 'x.json']),
            (['--cfg-options', 'load_from=x.pth'], ['checkpoint not found: x.pth']),
            (['--work-dir', '/dev/null/x'], ['--work-dir: /dev/null/x cannot be made a folder']),
            (['--resume', 'x.pth'], ['checkpoint not found: x.pth']),
            (['--launcher', 'pytorch'], ['torchrun']),
            (['--launcher', 'kubernetes'], ['kubernetes']),
        ],
    )
    def test_wrong_options(self, refuse, arguments, parts):
        sentence = refuse('train', FASTER, *arguments)
        assert all(part in sentence for part in parts), sentence

    @pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
    def test_amp_without_a_gpu(self, refuse):
        assert 'GPU' in refuse('train', FASTER, '--amp')

    def test_wrong_surroundings(self, refuse, tmp_path):
        assert 'add --launcher pytorch' in refuse('train', FASTER, WORLD_SIZE='2')
        assert 'config not found' in refuse('train', tmp_path / 'x.py')
        sentence = refuse(
            'train', FASTER.with_name('faster_rcnn_eca_r50_fpn_1x.py'), '--data-root', tmp_path / 'nowhere'
        )
        assert 'nowhere/annotations' in sentence and 'COCO_ROOT' in sentence

    def test_wrong_checkpoints(self, refuse, tmp_path):
        assert 'checkpoint not found' in refuse('test', FASTER, tmp_path / 'x.pth')
        (tmp_path / 'page.pth').write_text('<html>')
        assert 'page.pth is not a PyTorch checkpoint' in refuse('test', FASTER, tmp_path / 'page.pth')
        torch.save(dict(state_dict=dict(w=torch.ones(1)), meta={}), tmp_path / 'other.pth')
        sentence = refuse('test', FASTER, tmp_path / 'other.pth')
        assert 'other.pth does not fit' in sentence and 'missing' in sentence and '1 without a place: w' in sentence
        sentence = refuse('test', FASTER, tmp_path / 'other.pth', '--out', '/dev/null/x')
        assert '--out: /dev/null cannot be made a folder' in sentence
        assert 'does not fit' in refuse('train', FASTER, '--resume', tmp_path / 'other.pth')

    def test_wrong_images(self, refuse, tmp_path):
        torch.save(dict(state_dict=dict(w=torch.ones(1))), tmp_path / 'other.pth')
        predict = ['predict', FASTER, tmp_path / 'other.pth']
        assert 'no image in' in refuse(*predict, tmp_path)
        (tmp_path / 'broken.jpg').write_text('not an image')
        assert 'none of the images can be read' in refuse(*predict, tmp_path / 'broken.jpg')
        (tmp_path / 'broken.jpg').unlink()
        cv2.imwrite(str(tmp_path / 'half.png'), np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
        (tmp_path / 'half.png').write_bytes((tmp_path / 'half.png').read_bytes()[:2000])
        assert 'none of the images can be read' in refuse(*predict, tmp_path / 'half.png')
        (tmp_path / 'half.png').unlink()
        cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((9, 9, 3), np.uint8))
        assert "'gpu'" in refuse(*predict, tmp_path, '--device', 'gpu')
        assert 'does not fit' in refuse(*predict, tmp_path, '--device', 'cpu')
        sentence = refuse(*predict, tmp_path, '--out-dir', '/dev/null/x')
        assert '--out-dir: /dev/null/x cannot be made a folder' in sentence
        cv2.imwrite(str(tmp_path / 'a.jpg'), np.zeros((9, 9, 3), np.uint8))
        assert 'a.jpg, a.png would write the same' in refuse(*predict, tmp_path)

    def test_wrong_annotations(self, refuse, coco_root, tmp_path):
        """Annotations that are cut off, of no image, or of other images: each names the path."""
        content = json.loads((coco_root / 'annotations/instances_train2017.json').read_text())
        annotations, image = tmp_path / 'annotations', coco_root / 'train2017' / content['images'][-1]['file_name']
        folders = [annotations, tmp_path / 'train2017', tmp_path / 'val2017']
        for folder in folders:
            folder.mkdir()
            (folder / image.name).symlink_to(image)
        weights = ['--cfg-options', 'backbone_weights=None', 'model.backbone.norm_eval=False']
        weights += ['model.backbone.frozen_stages=-1']
        config = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py'
        for text, parts in [
            ('{"images": [', ['Expecting value']),
            (json.dumps(content | dict(images=[], annotations=[])), ['no image']),
            (json.dumps(content), ['train2017/', 'the first image, does not exist', 'COCO_ROOT']),
        ]:
            for split in ('train', 'val'):
                (annotations / f'instances_{split}2017.json').write_text(text)
            sentence = refuse('train', config, '--data-root', tmp_path, *weights)
            assert all(part in sentence for part in [str(tmp_path), *parts]), sentence

    def test_threshold(self, in_process, tmp_path, shapes_root):
        """Of 0: all boxes are drawn; of 1: none, and the picture is the image."""
        cfg = load_config(FASTER)
        init_default_scope('mmdet')
        torch.manual_seed(0)
        meta = dict(dataset_meta=ShapesDataset.METAINFO)
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=meta), tmp_path / 'x.pth')
        image = shapes_root / 'val/000001.png'
        pictures = {}
        for threshold in ('0', '1'):
            in_process('predict', FASTER, 'x.pth', image, '--threshold', threshold, '--out-dir', threshold)
            pictures[threshold] = cv2.imread(str(tmp_path / threshold / 'vis/000001.png'))
            assert json.loads((tmp_path / threshold / 'preds/000001.json').read_text())['scores']
        assert (pictures['1'] == cv2.imread(str(image))).all()
        assert (pictures['0'] != pictures['1']).any()

    def test_a_bug_keeps_its_traceback(self, run_tool, tmp_path):
        """A ValueError that comes up in training, and not from this package, is not passed off as the user's."""
        (tmp_path / 'mine.py').write_text("""
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
@HOOKS.register_module()
class Broken(Hook):
    def before_train(self, runner):
        raise ValueError('in the depths')
""")
        imports = "custom_imports = dict(imports=['eca_mm', 'mine'])\ncustom_hooks = [dict(type='Broken')]"
        (tmp_path / 'config.py').write_text(f'_base_ = {str(FASTER)!r}\n{imports}')
        process = run_tool('train', 'config.py', '--work-dir', tmp_path, PYTHONPATH=str(tmp_path))
        assert process.returncode == 1 and 'Traceback' in process.stderr and 'in the depths' in process.stderr


class TestClassifier:
    @pytest.mark.slow
    def test_the_unchanged_recipe(self, run_tool, refuse, imagenet_root, tmp_path):
        config, work = REPOSITORY / 'configs/imagenet/eca_resnet50.py', tmp_path / 'work'
        options = [
            '--cfg-options',
            'train_dataloader.dataset.indices=8',
            'val_dataloader.dataset.indices=8',
            'test_dataloader.dataset.indices=8',
            'images_per_step=8',
            'train_cfg.max_epochs=1',
        ]
        screen = succeeded(run_tool('train', config, '--work-dir', work, *options, IMAGENET_ROOT=str(imagenet_root)))
        assert 'accuracy/top1' in screen
        process = run_tool(
            'test', config, work / 'epoch_1.pth', '--work-dir', work, '--data-root', imagenet_root, *options
        )
        assert 'accuracy/top5' in succeeded(process)
        written = json.loads((work / 'metrics.json').read_text())
        assert set(written['metrics']) == {'accuracy/top1', 'accuracy/top5'} and written['epoch'] == 1
        image = next((imagenet_root / 'val/n00000003').iterdir())
        succeeded(run_tool('predict', config, work / 'epoch_1.pth', image, '--out-dir', tmp_path / 'out'))
        (prediction,) = json.loads((tmp_path / 'out/preds.json').read_text()).values()
        assert set(prediction) == {'pred_label', 'pred_score', 'pred_class'}
        assert len(list((tmp_path / 'out/vis').iterdir())) == 1
        sentence = refuse('test', config, work / 'epoch_1.pth', '--data-root', imagenet_root, '--out', 'p')
        assert '--out' in sentence and 'CocoMetric' in sentence

    @pytest.mark.slow
    def test_resumed_equals_uninterrupted(self, run_tool, classifier, tmp_path):
        """The same weights to the last bit, though killed (not asked) in the third epoch."""
        succeeded(run_tool('train', classifier, '--work-dir', tmp_path / 'whole'))
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
        screen = succeeded(run_tool('train', classifier, '--work-dir', stopped, '--resume', 'auto'))
        assert 'resumed epoch: 2, iter: 8' in screen
        expected, got = weights(tmp_path / 'whole'), weights(stopped)
        assert all(got[key].equal(expected[key]) for key in expected)

    def test_resume_needs_the_same_batch(self, run_tool, refuse, classifier, tmp_path):
        short = ['--work-dir', tmp_path / 'w', '--cfg-options', 'train_cfg.max_epochs=1']
        succeeded(run_tool('train', classifier, *short))
        sentence = refuse(
            'train', classifier, '--resume', *short, 'train_cfg.max_epochs=2', 'train_dataloader.batch_size=4'
        )
        assert 'was trained with 1 process x 8 images x 1 accumulated' in sentence
        assert 'this run has 1 process x 4 images x 2 accumulated' in sentence

    def test_two_processes_equal_one(self, run_tool, classifier, tmp_path):
        """gloo, 2 x 4 images, against one process with 8: the same weights, but for the order of the sums."""
        launcher = ['-m', 'torch.distributed.run', '--nproc-per-node', '2', '--standalone']
        screen = succeeded(
            run_tool(
                'train',
                classifier,
                '--work-dir',
                tmp_path / 'two',
                '--launcher',
                'pytorch',
                launcher=launcher,
                OMP_NUM_THREADS='1',
            )
        )
        assert '2 processes x 4 images x 1 accumulated = 8 images per optimiser step' in screen
        succeeded(run_tool('train', classifier, '--work-dir', tmp_path / 'one'))
        one, two = weights(tmp_path / 'one'), weights(tmp_path / 'two')
        start = weights(tmp_path / 'one', 'epoch_2.pth')
        for key, value in one.items():
            if value.is_floating_point():
                torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-5)
        learnt, apart = ((one['head.fc.weight'] - other['head.fc.weight']).abs().max() for other in (start, two))
        assert learnt > 100 * apart

    def test_accumulated_equals_whole(self, run_tool, classifier, tmp_path):
        succeeded(run_tool('train', classifier, '--work-dir', tmp_path / 'whole'))
        succeeded(
            run_tool(
                'train', classifier, '--work-dir', tmp_path / 'parts', '--cfg-options', 'train_dataloader.batch_size=2'
            )
        )
        whole, parts = weights(tmp_path / 'whole'), weights(tmp_path / 'parts')
        for key, value in whole.items():
            if value.is_floating_point():
                torch.testing.assert_close(parts[key], value, rtol=1e-4, atol=1e-5)


class TestCoco:
    """The paper's configs on a real piece of COCO, the training images scaled down."""

    @pytest.mark.slow
    def test_train_and_test(self, run_tool, coco_root, tmp_path):
        config = REPOSITORY / 'configs/mask_rcnn_eca_r50_fpn_1x.py'
        # After one step nothing is scored above mmdet's threshold, and there is no AP of nothing.
        detections = ['model.test_cfg.rcnn.score_thr=0.0', 'model.test_cfg.rcnn.max_per_img=5']
        options = [
            '--cfg-options',
            'backbone_weights=None',
            'model.backbone.norm_eval=False',
            'model.backbone.frozen_stages=-1',
            'train_dataloader.dataset.indices=8',
            'val_dataloader.dataset.indices=2',
            'train_cfg.max_epochs=1',
            'train_dataloader.dataset.pipeline.2.scale=(320,200)',
            'val_dataloader.dataset.pipeline.1.scale=(320,200)',
            *detections,
        ]
        screen = succeeded(run_tool('train', config, '--work-dir', tmp_path, *options, COCO_ROOT=str(coco_root)))
        assert '1 process x 2 images x 4 accumulated = 8 images per optimiser step' in screen
        assert 'coco/bbox_mAP ' in screen and 'coco/segm_mAP ' in screen

        checkpoint, work = tmp_path / 'epoch_1.pth', ['--work-dir', tmp_path, '--data-root', coco_root]
        options = ['--cfg-options', 'test_dataloader.dataset.indices=2', *detections]
        screen = succeeded(run_tool('test', config, checkpoint, *work, *options, '--out', tmp_path / 'p'))
        assert 'coco/segm_mAP ' in screen and (tmp_path / 'p.segm.json').exists()
        image = next((coco_root / 'val2017').glob('*.jpg'))
        succeeded(run_tool('predict', config, checkpoint, image, '--out-dir', tmp_path / 'out'))
        assert (tmp_path / 'out/vis' / image.name).exists()

    def test_missing_weights(self, refuse, coco_root):
        sentence = refuse('train', REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py', '--data-root', coco_root)
        assert 'checkpoints/eca_resnet50.pth' in sentence and 'backbone_weights=None' in sentence


class TestResume:
    """Which checkpoint is gone on from, and what is said about it."""

    def test_by_iteration(self, trained, by_iteration, tmp_path, capsys):
        stop = [dict(type='Interrupt', after=3)]
        with pytest.raises(Interrupted, match=r'iteration 2 of 4\. .*iter_3\.pth is the last.* with --resume goes on'):
            trained(config=by_iteration, epochs=None, custom_hooks=stop)
        whole = torch.load(tmp_path / 'work/iter_2.pth', weights_only=False)['meta']
        assert trained(config=by_iteration, epochs=None, resume='auto').checkpoint.name == 'iter_4.pth'
        assert 'resumed epoch: 0, iter: 3' in capsys.readouterr().out
        assert torch.load(tmp_path / 'work/iter_2.pth', weights_only=False)['meta']['time'] == whole['time']

    def test_in_the_middle_of_an_epoch(self, trained):
        """Its checkpoints are no place to resume from, and neither Ctrl-C nor --resume says otherwise."""
        changes = dict(default_hooks__checkpoint__by_epoch=False)
        with pytest.raises(Interrupted, match=r'iter_1\.pth is the last checkpoint; it can be tested, but not resumed'):
            trained(**changes, custom_hooks=[dict(type='Interrupt', after=1)])
        with pytest.raises(
            ValueError, match=r'--resume: .* has iter_1\.pth, but no complete epoch_\*\.pth to go on from'
        ):
            trained(**changes, resume='auto')

    def test_nothing_is_started_anew(self, classifier, refuse, tmp_path):
        """No file: a new run; only others or damaged ones: a sentence; an older one: that, with a warning."""
        train_it = ['train', classifier, '--work-dir', tmp_path, '--resume']
        (tmp_path / 'best_accuracy_epoch_1.pth').write_bytes(b'of no use to resume')
        cfg = load_config(classifier, work_dir=str(tmp_path), cfg_options=options(epochs=1))
        cfg.load_from = 'nowhere.pth'
        with pytest.raises(FileNotFoundError, match='nowhere'):  # beyond looking for a checkpoint
            train(cfg, resume='auto')
        for name in ('mine.pth', 'epoch_3.pth'):
            (tmp_path / name).write_bytes(b'half')
            assert re.search(rf'has .*{name}.* but no complete', refuse(*train_it))
        torch.save(dict(state_dict={}), tmp_path / 'epoch_2.pth')
        os.utime(tmp_path / 'epoch_2.pth', (1, 1))
        cfg = load_config(classifier, work_dir=str(tmp_path), cfg_options=options())
        with (
            pytest.warns(UserWarning, match=r'epoch_3\.pth is damaged, passed over; resuming from the older .*epoch_2'),
            pytest.raises(ValueError, match='epoch_2'),
        ):
            train(cfg, resume='auto')

    def test_weights_alone(self, trained, tmp_path):
        checkpoint = trained(**NO_VALIDATION, epochs=1).checkpoint
        state = torch.load(checkpoint, weights_only=False)
        torch.save(dict(state_dict=state['state_dict']), tmp_path / 'bare.pth')
        with pytest.raises(ValueError, match=r'bare\.pth has no meta, message_hub, optimizer: it holds weights'):
            trained('other', resume=str(tmp_path / 'bare.pth'))
        nowhere = dict(type='Pretrained', checkpoint='nowhere.pth')
        started = trained(
            'other', **NO_VALIDATION, load_from=str(tmp_path / 'bare.pth'), model__backbone__init_cfg=nowhere
        )
        assert started.checkpoint.name == 'epoch_2.pth' and not started.finished_before

    def test_load_from_what_lacks_attention(self, trained, tmp_path):
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
        with pytest.raises(FileNotFoundError, match='backbone weights not found: nowhere'):
            trained('other', **changes, model__backbone__init_cfg=dict(type='Pretrained', checkpoint='nowhere.pth'))

    def test_files_of_another_run(self, trained, tmp_path):
        """A new run in a used folder does not take them for its own."""
        (tmp_path / 'work').mkdir()
        torch.save(dict(state_dict={}), tmp_path / 'work/epoch_9.pth')
        with pytest.raises(Interrupted, match='before the first checkpoint of this run: nothing to resume'):
            trained(custom_hooks=[dict(type='Interrupt', after=1)])
        never = dict(default_hooks__checkpoint__interval=9, default_hooks__checkpoint__save_last=False)
        assert trained(**NO_VALIDATION, **never).checkpoint is None

    def test_from_elsewhere(self, trained, tmp_path):
        """A resumed run that is interrupted at once goes on from where it came from, which is named."""
        trained('first dir', **NO_VALIDATION, epochs=1)
        checkpoint = tmp_path / 'first dir/epoch_1.pth'
        with pytest.raises(Interrupted, match=rf"in epoch 2 of 2.*--resume '{checkpoint}' goes on from it"):
            trained('second', resume=str(checkpoint), custom_hooks=[dict(type='Interrupt', after=3)])

    def test_another_dataset(self, trained):
        """Its epochs end elsewhere."""
        trained(**NO_VALIDATION, epochs=1)
        with pytest.raises(
            ValueError, match='end at iteration 2, this run has it at 3: resume from the end of an epoch'
        ):
            trained(resume='auto', train_dataloader__dataset__indices=24)

    def test_a_finished_run(self, trained):
        assert 'accuracy/top1' in str(trained(train_cfg__val_interval=2))
        summary = trained(resume='auto')
        assert summary.metrics == {} and 'was finished already: nothing was trained' in str(summary)


class TestOptions:
    def test_seed_and_compile(self, in_process, classifier, tmp_path, monkeypatch):
        compiled = []
        monkeypatch.setattr(torch, 'compile', lambda function, **kwargs: compiled.append(kwargs) or function)
        changes = [f'{key}={value}' for key, value in options(**NO_VALIDATION, epochs=1).items()]
        run = ['train', classifier, '--work-dir', 'a b', '--seed', '3', '--compile', '--cfg-options', *changes]
        screen = in_process(*run, 'compile.backend=eager')
        assert compiled == [dict(backend='eager')]
        checkpoint = tmp_path / 'a b/epoch_1.pth'
        assert torch.load(checkpoint, weights_only=False)['meta']['seed'] == 3

        again = re.search('test again +(.*)', screen)[1]
        words = shlex.split(again)
        assert words[:5] == ['tools/test.py', str(classifier), str(checkpoint), '--work-dir', 'a b']
        screen = in_process('test', words[1], checkpoint.as_uri(), *words[3:], 'test_dataloader.dataset.indices=8')
        assert 'accuracy/top1' in screen
        metrics = json.loads((tmp_path / 'a b/metrics.json').read_text())
        assert metrics['images'] == 8 and metrics['checkpoint'] == checkpoint.as_uri() and metrics['epoch'] == 1

        convert_checkpoint(str(checkpoint), tmp_path / 'converted.pth')
        in_process('test', words[1], tmp_path / 'converted.pth', *words[3:], 'test_dataloader.dataset.indices=8')
        metrics = json.loads((tmp_path / 'a b/metrics.json').read_text())
        assert metrics['source'] == 'mmpretrain' and 'epoch' not in metrics

    @pytest.mark.parametrize('pictures', [-1, True, 2.5])
    def test_pictures_that_are_no_number(self, trained, pictures):
        with pytest.raises(ValueError, match=f'pictures must be a number of images, got {pictures}'):
            trained(pictures=pictures)

    def test_pictures_without_validation(self, trained):
        assert trained(**NO_VALIDATION, epochs=1, pictures=2).pictures is None
        assert len(list((trained(epochs=1, pictures=2).pictures / 'vis').iterdir())) == 2

    def test_summary(self):
        summary = Summary('a b.py', Path('w d'), 60, Path('w d/x.pth'), options=['--cfg-options', 'k=(1, 2)'])
        assert "test again   tools/test.py 'a b.py' 'w d/x.pth' --cfg-options 'k=(1, 2)'" in str(summary)


@pytest.mark.slow
def test_the_embedded_default_reaches_its_ap(run_tool, tmp_path):
    """The README's first command: AP50 of 0.70 or more on held-out images, from scratch."""
    screen = succeeded(run_tool('train', FASTER, '--work-dir', tmp_path / 'work'))
    assert float(re.search(r'coco/bbox_mAP_50 +(\S+)', screen[screen.index('\nTrained ') :])[1]) >= 0.70
