"""The tools from end to end, started as a user starts them."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eca_mm.engine import load_config
from eca_mm.paper import TABLES
from tests.conftest import REPOSITORY

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


@pytest.fixture(scope='module')
def imagenet_root(tmp_path_factory):
    """ImageNet's layout with its thousand classes, one small picture each."""
    root = tmp_path_factory.mktemp('imagenet')
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for i in range(1000):
            folder = root / split / f'n{i:08d}'
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / f'{i}.png'), rng.integers(0, 256, (40, 48, 3), np.uint8))
    return root


@pytest.fixture
def classifier(tmp_path, imagenet_root):
    """A config of a small classifier: our ImageNet recipe with 32 pictures of 32 x 32 pixels and 8 images per step."""
    file = tmp_path / 'classifier.py'
    file.write_text(f"""
_base_ = {str(REPOSITORY / 'configs/imagenet/eca_resnet50.py')!r}
images_per_step = 8
model = dict(
    backbone=dict(depth=18, kernel_size=3, norm_eval=True, frozen_stages=0), head=dict(in_channels=512, topk=(1, 5))
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


def succeeded(process):
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return process.stdout


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
        process = run_tool('predict', FASTER, checkpoint, folder, '--out-dir', tmp_path / 'out', '--device', 'cpu')
        assert '2 images' in succeeded(process) and 'broken.jpg' in process.stderr
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
        assert 'does not fit' in refuse('train', FASTER, '--resume', tmp_path / 'other.pth')

    def test_wrong_images(self, refuse, tmp_path):
        torch.save(dict(state_dict=dict(w=torch.ones(1))), tmp_path / 'other.pth')
        predict = ['predict', FASTER, tmp_path / 'other.pth']
        assert 'no image in' in refuse(*predict, tmp_path)
        (tmp_path / 'broken.jpg').write_text('not an image')
        assert 'none of the images can be read' in refuse(*predict, tmp_path / 'broken.jpg')
        (tmp_path / 'broken.jpg').unlink()
        cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((9, 9, 3), np.uint8))
        assert "'gpu'" in refuse(*predict, tmp_path, '--device', 'gpu')
        assert 'does not fit' in refuse(*predict, tmp_path, '--device', 'cpu')
        cv2.imwrite(str(tmp_path / 'a.jpg'), np.zeros((9, 9, 3), np.uint8))
        assert 'a.jpg, a.png would write the same' in refuse(*predict, tmp_path)

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
        assert set(json.loads((work / 'metrics.json').read_text())['metrics']) == {'accuracy/top1', 'accuracy/top5'}
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


class TestReproduce:
    def test_all(self, run_tool, tmp_path):
        """Every number of the paper is in the file; what needs no data is measured; the report is written."""
        process = run_tool(
            'reproduce', 'all', '--json', tmp_path / 'all.json', '--report', tmp_path / 'report', '--check'
        )
        screen = succeeded(process)
        cells = json.loads((tmp_path / 'all.json').read_text())
        cell = next(c for c in cells if (c['row'], c['column']) == ('faster_rcnn_eca_r50_fpn_1x', 'GFLOPs'))
        assert (cell['paper'], cell['ours'], cell['status']) == ('207.18', '207.18', 'match')
        assert cell['raw'] == 207181960372 and cell['source'] == 'measured now'
        printed = sum(n is not None for table in TABLES.values() for row in table.rows for n in row.printed.values())
        assert sum(c['paper'] is not None for c in cells) == printed
        assert 'Table 5: Instance segmentation' in screen and '320.0' in screen
        assert {f.name for f in (tmp_path / 'report').iterdir()} == {
            'index.html', 'report.csv', 'report.json', 'report.md'
        }  # fmt: skip

    @pytest.mark.slow
    def test_checkpoints_are_evaluated(self, run_tool, imagenet_root, tmp_path):
        """One that fits, one of another network, half of one: the first is measured, the others are two sentences."""
        work = tmp_path / 'work_dirs'
        for name in ('mobilenet_v2', 'se_mobilenet_v2', 'eca_mobilenet_v2'):
            (work / name).mkdir(parents=True)
        cfg = load_config(REPOSITORY / 'configs/imagenet/mobilenet_v2.py')
        init_default_scope('mmpretrain')
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), work / 'mobilenet_v2/epoch_400.pth')
        whole = (work / 'mobilenet_v2/epoch_400.pth').read_bytes()
        (work / 'se_mobilenet_v2/epoch_400.pth').write_bytes(whole)
        (work / 'eca_mobilenet_v2/epoch_400.pth').write_bytes(whole[: len(whole) // 2])
        process = run_tool(
            'reproduce', 'table2', '--only', 'accuracy', '--work-dirs', work, '--run', '--data-root', imagenet_root,
            '--json', tmp_path / 'cells.json',
        )  # fmt: skip
        assert process.returncode == 1 and 'Traceback' not in process.stderr, process.stderr[-3000:]
        errors = [line for line in process.stderr.splitlines() if line.startswith('error: ')]
        assert len(errors) == 2
        assert 'imagenet/se_mobilenet_v2' in errors[0] and 'does not fit' in errors[0]
        assert 'imagenet/eca_mobilenet_v2: no checkpoint in' in errors[1]
        measured = [c for c in json.loads((tmp_path / 'cells.json').read_text()) if c['ours']]
        assert [(c['row'], c['column'], c['status']) for c in measured] == [
            ('imagenet/mobilenet_v2', 'Top-1', 'not comparable'),
            ('imagenet/mobilenet_v2', 'Top-5', 'not comparable'),
        ]
        assert 'on 1000 images' in measured[0]['note'] and measured[0]['source'].startswith('measured now (')

    def test_check(self, run_tool, tmp_path):
        folder = tmp_path / 'faster_rcnn_eca_r50_fpn_1x'
        folder.mkdir()
        options = ['table4', '--only', 'accuracy', '--work-dirs', tmp_path, '--check']
        for ap, code in ((0.382, 0), (0.361, 1)):
            metrics = dict(images=5000, metrics={'coco/bbox_mAP': ap}, checkpoint='epoch_12.pth')
            (folder / 'metrics.json').write_text(json.dumps(metrics))
            process = run_tool('reproduce', *options)
            assert process.returncode == code, process.stderr
        assert '-1.9' in process.stdout and 'checked: 1 numbers, 1 off' in process.stdout

    @pytest.mark.parametrize(('arguments', 'parts'), [
        (['tabel4'], ["'tabel4'", "did you mean 'table4'"]),
        (['table4', '--work-dirs', 'nowhere'], ['nowhere']),
        (['table2', '--speed', 'nowhere.csv'], ['nowhere.csv']),
        (['table4', '--predictions', 'x=y.json'], ['--ann-file']),
        (['table4', '--data-root', 'x'], ['--run']),
        (['table4', '--report', '/dev/null/x'], ['cannot write /dev/null/x/report.md']),
        (['all', '--write-index', '--work-dirs', 'nowhere'], ['measured/NAME/']),
        (['table4', '--json', '/dev/null/x'], ['cannot write /dev/null/x']),
    ])  # fmt: skip
    def test_wrong_options(self, refuse, arguments, parts):
        sentence = refuse('reproduce', *arguments, '--only', 'accuracy' if '--speed' not in arguments else 'speed')
        assert all(part in sentence for part in parts), sentence


@pytest.mark.slow
def test_the_embedded_default_reaches_its_ap(run_tool, tmp_path):
    """The README's first command: AP50 of 0.70 or more on held-out images, from scratch."""
    screen = succeeded(run_tool('train', FASTER, '--work-dir', tmp_path / 'work'))
    assert float(re.search(r'coco/bbox_mAP_50 +(\S+)', screen[screen.index('\nTrained ') :])[1]) >= 0.70
